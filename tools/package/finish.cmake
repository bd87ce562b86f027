# SPDX-License-Identifier: MIT
#
# CPack runs this when it has staged the files of each package, and before it packs them: gives the
# packages what Debian's policy asks for beyond what `make install` installs, and finds out which
# packages of libraries they depend on.

cmake_minimum_required(VERSION 3.25)
set(here "${CMAKE_CURRENT_LIST_DIR}")

# Runs a command in the folder of the staged packages.
function(run)
  execute_process(COMMAND ${ARGV} WORKING_DIRECTORY "${CPACK_TEMPORARY_DIRECTORY}"
                  COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# The documents of the source tree have other names and places in a package.
set(documents "${CPACK_TEMPORARY_DIRECTORY}/tools/usr/share/doc/handoff")
file(RENAME "${documents}/CHANGELOG.md" "${documents}/changelog")
file(REMOVE "${documents}/LICENSE" "${documents}/CONTRIBUTING.md")

# Here Debian's zsh looks for what packages bring.
set(share "${CPACK_TEMPORARY_DIRECTORY}/tools/usr/share")
if(EXISTS "${share}/zsh/site-functions")
  file(RENAME "${share}/zsh/site-functions" "${share}/zsh/vendor-completions")
endif()

foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} COMPONENT)
  set(package ${CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME})
  set(staged "${CPACK_TEMPORARY_DIRECTORY}/${component}")
  set(documents "${staged}/usr/share/doc/${package}")

  file(MAKE_DIRECTORY "${documents}")
  configure_file("${here}/copyright" "${documents}/copyright" COPYONLY)
  configure_file("${here}/changelog" "${documents}/changelog.Debian" COPYONLY)
  file(MAKE_DIRECTORY "${staged}/usr/share/lintian/overrides")
  configure_file("${here}/lintian-overrides"
                 "${staged}/usr/share/lintian/overrides/${package}" COPYONLY)

  file(GLOB_RECURSE pages "${staged}/usr/share/man/*")
  file(GLOB changelogs "${documents}/changelog*")
  run(gzip -9n ${pages} ${changelogs})
  # Whatever the permissions of the source tree are.
  run(chmod -R u+rwX,go+rX,go-w "${staged}")

  file(GLOB_RECURSE programs "${staged}/usr/bin/*" "${staged}/usr/lib/*.so.*")
  foreach(program ${programs})
    if(NOT IS_SYMLINK "${program}")
      run(strip --strip-unneeded --remove-section=.comment --remove-section=.note "${program}")
    endif()
  endforeach()
  if(programs)
    # It wants a file and a folder of these names, which have nothing to say here.
    file(WRITE "${CPACK_TEMPORARY_DIRECTORY}/debian/control" "")
    file(MAKE_DIRECTORY "${staged}/DEBIAN")
    file(GLOB_RECURSE library "${CPACK_TEMPORARY_DIRECTORY}/library/usr/lib/*.so.0")
    cmake_path(GET library PARENT_PATH libraries)
    execute_process(COMMAND dpkg-shlibdeps -O --ignore-missing-info "-l${libraries}" ${programs}
                    WORKING_DIRECTORY "${CPACK_TEMPORARY_DIRECTORY}" OUTPUT_VARIABLE depends
                    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    string(REPLACE "shlibs:Depends=" "" CPACK_DEBIAN_${COMPONENT}_PACKAGE_DEPENDS "${depends}")
    file(REMOVE_RECURSE "${CPACK_TEMPORARY_DIRECTORY}/debian" "${staged}/DEBIAN")
  endif()
endforeach()
