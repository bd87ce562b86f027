# SPDX-License-Identifier: MIT
#
# The completion scripts: each tool prints those of itself, for bash, zsh and fish. Where a tool
# cannot be run they are left out.

# The folders in the prefix where these shells look for them. Debian's packages bring those of zsh
# elsewhere: tools/package/finish.cmake moves them.
set(handoff_shells bash zsh fish)
set(handoff_completiondirs
    ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    ${CMAKE_INSTALL_DATADIR}/zsh/site-functions
    ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  message(STATUS "No completion for shells: the tools that print it cannot be run here")
  return()
endif()

set(folder ${CMAKE_BINARY_DIR}/completion)
file(MAKE_DIRECTORY ${folder}/bash ${folder}/zsh ${folder}/fish)
foreach(tool ${handoff_tools})
  set(made ${folder}/bash/${tool} ${folder}/zsh/_${tool} ${folder}/fish/${tool}.fish)
  list(APPEND handoff_completions ${made})
  add_custom_command(OUTPUT ${made} DEPENDS ${tool} handoff VERBATIM
    COMMAND ${tool} --completion bash > ${folder}/bash/${tool}
    COMMAND ${tool} --completion zsh > ${folder}/zsh/_${tool}
    COMMAND ${tool} --completion fish > ${folder}/fish/${tool}.fish)
endforeach()
add_custom_target(completion ALL DEPENDS ${handoff_completions})
add_dependencies(tools completion)
