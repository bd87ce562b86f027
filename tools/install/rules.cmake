# SPDX-License-Identifier: MIT
#
# The rules of `cmake --install`. What depends on the prefix is made while it installs, so that
# --prefix may name another one than the configuration did. The components are those of the
# packages: tools, library and development.

include(CMakePackageConfigHelpers)

set(handoff_cmakedir ${CMAKE_INSTALL_LIBDIR}/cmake/handoff)
set(handoff_unitdir lib/systemd/system)

# What the two scripts need to know.
set(known "")
foreach(name CMAKE_BINARY_DIR CMAKE_LIBRARY_ARCHITECTURE CMAKE_INSTALL_BINDIR CMAKE_INSTALL_LIBDIR
             CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_MANDIR CMAKE_INSTALL_DOCDIR PROJECT_SOURCE_DIR
             PROJECT_VERSION PROJECT_DESCRIPTION handoff_tools handoff_cmakedir handoff_unitdir
             handoff_completiondirs handoff_runpath handoff_linked_runpath)
  string(APPEND known "set(${name} [==[${${name}}]==])\n")
endforeach()
install(CODE "${known}" ALL_COMPONENTS)
install(SCRIPT tools/install/begin.cmake ALL_COMPONENTS)

install(TARGETS ${handoff_tools} DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
install(TARGETS handoff EXPORT handoff
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
        NAMELINK_COMPONENT development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

foreach(header ${handoff_public_headers})
  cmake_path(GET header PARENT_PATH folder)
  install(FILES lib/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/handoff/${folder}
          COMPONENT development)
endforeach()

# The library needs no other package of those that use it, so what CMake exports is the whole
# package file.
write_basic_package_version_file(handoff-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/handoff-config-version.cmake
        DESTINATION ${handoff_cmakedir} COMPONENT development)
install(EXPORT handoff NAMESPACE handoff:: FILE handoff-config.cmake
        DESTINATION ${handoff_cmakedir} COMPONENT development)

install(DIRECTORY man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tools
        FILES_MATCHING PATTERN "*.1")
install(DIRECTORY man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man7 COMPONENT tools
        FILES_MATCHING PATTERN "*.7")
install(DIRECTORY man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development
        FILES_MATCHING PATTERN "*.3")
if(handoff_completions)
  foreach(shell folder IN ZIP_LISTS handoff_shells handoff_completiondirs)
    install(DIRECTORY ${CMAKE_BINARY_DIR}/completion/${shell}/ DESTINATION ${folder}
            COMPONENT tools)
  endforeach()
endif()
install(FILES README.md LICENSE CHANGELOG.md CONTRIBUTING.md SECURITY.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools)
install(DIRECTORY tests/examples DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools
        USE_SOURCE_PERMISSIONS)
install(FILES tools/systemd/handoff@.socket DESTINATION ${handoff_unitdir} COMPONENT tools)

install(SCRIPT tools/install/end.cmake ALL_COMPONENTS)
