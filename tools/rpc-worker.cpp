// SPDX-License-Identifier: MIT
// rpc-worker: answers calls on the connections that it is given.
#include <handoff/cli/worker_main.hpp>

int main(int argc, char** argv) {
  return handoff::worker_main("rpc-worker", argc, argv, {});
}
