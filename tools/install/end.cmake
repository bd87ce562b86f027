# SPDX-License-Identifier: MIT
#
# Runs after all else was installed, with the variables of begin.cmake: makes the files that
# name the prefix, and gives the tools the RUNPATH that they need where they are.

cmake_minimum_required(VERSION 3.25)

handoff_ask_for(development)
if(included)
  # handoff.pc finds everything from where it is itself, and so may be moved with the prefix.
  set(pkgconfigdir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  file(RELATIVE_PATH pc_to_prefix "${pkgconfigdir}" "${CMAKE_INSTALL_PREFIX}")
  string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
  file(RELATIVE_PATH pc_to_includedir "${pkgconfigdir}" "${CMAKE_INSTALL_INCLUDEDIR}")
  string(REPLACE " " "\\ " pc_to_prefix "${pc_to_prefix}")
  string(REPLACE " " "\\ " pc_to_includedir "${pc_to_includedir}")
  configure_file("${PROJECT_SOURCE_DIR}/tools/install/handoff.pc.in" "${record}/handoff.pc" @ONLY)
  file(INSTALL "${record}/handoff.pc" DESTINATION "${pkgconfigdir}" MESSAGE_NEVER)
endif()

handoff_ask_for(tools)
if(included)
  # In the unit file it stands in double quotes. (systemd starts no program with one in its path.)
  string(REPLACE "%" "%%" unit_bindir "${CMAKE_INSTALL_BINDIR}")
  configure_file("${PROJECT_SOURCE_DIR}/tools/systemd/handoff@.service.in"
                 "${record}/handoff@.service" @ONLY)
  file(INSTALL "${record}/handoff@.service" DESTINATION "${handoff_unitdir}" MESSAGE_NEVER)

  # The loader searches these by itself. It finds a library in other folders of /etc/ld.so.conf,
  # such as /usr/local/lib, only once ldconfig has seen it there, so that the tools keep a RUNPATH:
  # they must run also where it has not.
  set(searched /lib /usr/lib)
  if(CMAKE_LIBRARY_ARCHITECTURE)
    list(APPEND searched /lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
  endif()
  foreach(tool ${handoff_tools})
    set(installed "$ENV{DESTDIR}${CMAKE_INSTALL_BINDIR}/${tool}")
    if(CMAKE_INSTALL_LIBDIR IN_LIST searched)
      file(RPATH_REMOVE FILE "${installed}")
    elseif(NOT handoff_runpath STREQUAL handoff_linked_runpath)
      file(RPATH_CHANGE FILE "${installed}" OLD_RPATH "${handoff_linked_runpath}"
           NEW_RPATH "${handoff_runpath}")
    endif()
  endforeach()
endif()

if(CMAKE_INSTALL_COMPONENT)
  return()
endif()

# Programs that others link with the library have no RUNPATH.
find_program(LDCONFIG ldconfig PATHS /sbin /usr/sbin)
if("$ENV{DESTDIR}" STREQUAL "" AND LDCONFIG)
  execute_process(COMMAND "${LDCONFIG}" -N -X -v OUTPUT_VARIABLE folders ERROR_QUIET)
  string(FIND "\n${folders}" "\n${CMAKE_INSTALL_LIBDIR}:" found)
  if(found GREATER_EQUAL 0)
    execute_process(COMMAND "${LDCONFIG}")
  endif()
endif()

list(TRANSFORM CMAKE_INSTALL_MANIFEST_FILES PREPEND "$ENV{DESTDIR}" OUTPUT_VARIABLE installed)
list(APPEND handoff_files ${installed})
handoff_write_record()
message("handoff ${PROJECT_VERSION} is installed in $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
