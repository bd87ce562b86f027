# SPDX-License-Identifier: MIT
#
# Where the tools find the library: beside them in the build folder, and at handoff_runpath when
# installed. They are linked with both, and end.cmake takes out what is not needed there.
# CMake can do this by itself, but it makes room for a longer RUNPATH with empty entries, which
# stand for the working directory.

if(IS_ABSOLUTE "${CMAKE_INSTALL_BINDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(handoff_runpath ${CMAKE_INSTALL_FULL_LIBDIR})
else()
  file(RELATIVE_PATH library_from_tools ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set(handoff_runpath $ORIGIN/${library_from_tools})
endif()

set(handoff_linked_runpath $ORIGIN/../lib ${handoff_runpath})
list(REMOVE_DUPLICATES handoff_linked_runpath)
list(JOIN handoff_linked_runpath : handoff_linked_runpath)
