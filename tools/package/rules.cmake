# SPDX-License-Identifier: MIT
#
# The rules of `make deb`: CPack makes three Debian packages of what `make install` installs. It
# takes its settings from the variables here, and runs finish.cmake on the staged files.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "handoff developers <handoff@localhost>")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/tools/package/finish.cmake)

# A component each. CPack asks for the name of the component in capitals.
set(CPACK_COMPONENTS_ALL tools library development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_COMPONENT_TOOLS_DEPENDS library)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS library)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

# The packages have the number of the release, and this one of their own, which begins again at 1.
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SOURCE handoff)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# Each package has a description of its own. The project's would be put before all of them.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME handoff)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION net)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION
"replace a server while its clients stay connected
Small programs that pass open connections from one running process to another.
rpc-master accepts connections and passes each to a worker. A worker that
leaves gives its connections back, and one that crashes, hangs or is killed
does not take them with it. Every process of the server, the master included,
can be replaced.
.
rpc-call and rpc-ping call a server and measure it. fdsend and fdrecv hand any
open descriptor to any other process.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libhandoff0)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION
"passing of live descriptors between processes - library
This is the library of rpc-master and rpc-worker: it passes descriptors over
Unix sockets, serves calls on the connections that a process was given, and
calls servers.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libhandoff-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION
"passing of live descriptors between processes - development files
These are the C++20 headers of libhandoff, for a worker or a client of one's
own, with packages for pkg-config and CMake.")

# dpkg runs ldconfig once when all packages of a run are there. Programs that are linked with the
# library work with the releases that have its minor version.
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
    ${CMAKE_CURRENT_SOURCE_DIR}/tools/package/triggers ${CMAKE_CURRENT_BINARY_DIR}/package/shlibs)
math(EXPR next_minor "${PROJECT_VERSION_MINOR} + 1")
set(minor_version ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/package/shlibs
     "libhandoff 0 libhandoff0 (>= ${minor_version}~), "
     "libhandoff0 (<< ${PROJECT_VERSION_MAJOR}.${next_minor}~)\n")

file(STRINGS tools/package/changelog line LIMIT_COUNT 1)
if(NOT line MATCHES "^handoff \\(${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}\\) ")
  message(FATAL_ERROR "tools/package/changelog does not begin with "
                      "${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}: ${line}")
endif()

include(CPack)
