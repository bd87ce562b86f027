// SPDX-License-Identifier: MIT
#include "master/worker_status.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

TEST_CASE("a worker is described by its number, process, state, connections and restarts") {
  WorkerStatus worker;
  worker.number = 2;
  worker.pid = 4711;
  worker.state = WorkerState::ready;
  worker.connections = 1;
  CHECK(describe(worker) == "worker 2, pid 4711: ready, 1 connection, 0 restarts");
}

TEST_CASE("a slot without a process is described without a pid") {
  WorkerStatus worker;
  worker.number = 1;
  worker.state = WorkerState::pausing;
  worker.restarts = 3;
  CHECK(describe(worker) == "worker 1: pausing, 0 connections, 3 restarts");
}

TEST_CASE("each state of a worker has the name that status tells") {
  CHECK(name_of(WorkerState::starting) == std::string("starting"));
  CHECK(name_of(WorkerState::ready) == std::string("ready"));
  CHECK(name_of(WorkerState::draining) == std::string("draining"));
  CHECK(name_of(WorkerState::pausing) == std::string("pausing"));
}

}  // namespace
}  // namespace handoff
