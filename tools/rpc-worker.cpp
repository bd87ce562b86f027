// SPDX-License-Identifier: MIT
// rpc-worker: answers calls on the connections that it is given. All of it is in the library,
// because programs with methods of their own have the same main function; see
// lib/cli/worker_main.cpp.
#include <handoff/cli/worker_main.hpp>

int main(int argc, char** argv) {
  return handoff::worker_main("rpc-worker", argc, argv, {});
}
