# SPDX-License-Identifier: MIT
#
# A record of what was installed, for `make uninstall`, in a folder of the build folder for each
# pair of a prefix and a DESTDIR. It sets handoff_folders, the topmost folders that the installation
# made, and handoff_files; their paths begin with DESTDIR.

if(DEFINED ENV{DESTDIR} AND NOT "$ENV{DESTDIR}" STREQUAL "")
  get_filename_component(destdir "$ENV{DESTDIR}" ABSOLUTE)
  set(ENV{DESTDIR} "${destdir}")
endif()

# Sets `record`, the folder, and reads the record if it is there.
macro(handoff_read_record build prefix)
  string(MD5 record "$ENV{DESTDIR}:${prefix}")
  set(record "${build}/installed/${record}")
  set(handoff_folders "")
  set(handoff_files "")
  include("${record}/record.cmake" OPTIONAL)
endmacro()

# Writes it.
function(handoff_write_record)
  set(text "")
  foreach(name handoff_folders handoff_files)
    list(REMOVE_DUPLICATES ${name})
    string(APPEND text "set(${name} [==[${${name}}]==])\n")
  endforeach()
  file(WRITE "${record}/record.cmake" "${text}")
endfunction()
