# SPDX-License-Identifier: MIT
#
# cmake -D BUILD=FOLDER -D PREFIX=PREFIX -P uninstall.cmake: removes what was installed from that
# build folder to that prefix (and $DESTDIR), and the folders that this made and that are empty now.

cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/record.cmake")
get_filename_component(BUILD "${BUILD}" ABSOLUTE)
get_filename_component(PREFIX "${PREFIX}" ABSOLUTE)
handoff_read_record("${BUILD}" "${PREFIX}")
if(NOT EXISTS "${record}/record.cmake")
  message(FATAL_ERROR "cannot uninstall from $ENV{DESTDIR}${PREFIX}: ${BUILD} has no record of an "
                      "installation there (give the PREFIX and DESTDIR of make install)")
endif()

execute_process(COMMAND rm -f -- ${handoff_files} RESULT_VARIABLE status)
if(status)
  message(FATAL_ERROR "cannot uninstall everything from $ENV{DESTDIR}${PREFIX} (become root?)")
endif()

# Sets `ours` to true for a folder that the installation made, and for all that is in one.
function(is_ours folder)
  set(ours FALSE PARENT_SCOPE)
  foreach(made ${handoff_folders})
    cmake_path(IS_PREFIX made "${folder}" inside)
    if(inside)
      set(ours TRUE PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

foreach(file ${handoff_files})
  cmake_path(GET file PARENT_PATH folder)
  is_ours("${folder}")
  while(ours)
    # It refuses a folder that has something of others.
    execute_process(COMMAND rmdir "${folder}" RESULT_VARIABLE status ERROR_QUIET)
    if(status)
      break()
    endif()
    cmake_path(GET folder PARENT_PATH folder)
    is_ours("${folder}")
  endwhile()
endforeach()
file(REMOVE_RECURSE "${record}")
message("handoff is no longer installed in $ENV{DESTDIR}${PREFIX}")
