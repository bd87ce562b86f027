# SPDX-License-Identifier: MIT
#
# Cross build for arm64 with Debian's compiler and with the libraries that tests/arm64/libraries has
# unpacked in the folder root of the build. Programs run in qemu-user.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR ${CMAKE_CURRENT_LIST_DIR}/emulate ${CMAKE_BINARY_DIR}/root)

# Nothing of this machine's own /usr is linked or included.
set(CMAKE_FIND_ROOT_PATH ${CMAKE_BINARY_DIR}/root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# A program is linked with the library, which needs more of these.
set(CMAKE_EXE_LINKER_FLAGS_INIT
    -Wl,-rpath-link,${CMAKE_BINARY_DIR}/root/usr/lib/aarch64-linux-gnu)
