# SPDX-License-Identifier: MIT
#
# Runs before anything is installed: says in one line what cannot be written, and notes which
# folders are not there yet. One component alone is staged for a package, of which no record is
# kept here: the package manager has its own.

cmake_minimum_required(VERSION 3.25)
include("${PROJECT_SOURCE_DIR}/tools/install/record.cmake")
handoff_read_record("${CMAKE_BINARY_DIR}" "${CMAKE_INSTALL_PREFIX}")

# Gives each of these variables the absolute path that it has in this installation.
foreach(name CMAKE_INSTALL_BINDIR CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR
             CMAKE_INSTALL_MANDIR CMAKE_INSTALL_DOCDIR handoff_cmakedir handoff_unitdir)
  cmake_path(ABSOLUTE_PATH ${name} BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}" NORMALIZE)
endforeach()

list(TRANSFORM handoff_completiondirs PREPEND "${CMAKE_INSTALL_PREFIX}/")

# Sets `included` to whether the files of this component are installed now.
macro(handoff_ask_for component)
  set(included FALSE)
  if(NOT CMAKE_INSTALL_COMPONENT OR CMAKE_INSTALL_COMPONENT STREQUAL "${component}")
    set(included TRUE)
  endif()
endmacro()

if(CMAKE_INSTALL_COMPONENT)
  set(record "${CMAKE_BINARY_DIR}/package")
  return()
endif()

foreach(folder "${CMAKE_INSTALL_BINDIR}" "${CMAKE_INSTALL_LIBDIR}/pkgconfig" "${handoff_cmakedir}"
               "${CMAKE_INSTALL_INCLUDEDIR}/handoff" "${CMAKE_INSTALL_MANDIR}/man1"
               "${CMAKE_INSTALL_MANDIR}/man3" "${CMAKE_INSTALL_MANDIR}/man7" "${CMAKE_INSTALL_DOCDIR}/examples"
               "${handoff_unitdir}" ${handoff_completiondirs})
  set(present "$ENV{DESTDIR}${folder}")
  set(missing "")
  while(NOT EXISTS "${present}")
    set(missing "${present}")
    cmake_path(GET present PARENT_PATH present)
  endwhile()
  execute_process(COMMAND test -w "${present}" RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "cannot install to $ENV{DESTDIR}${folder}: no permission to write to "
                        "${present} (become root, or choose another PREFIX)")
  endif()
  list(APPEND handoff_folders ${missing})
endforeach()
