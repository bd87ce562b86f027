// SPDX-License-Identifier: MIT
#include "master/worker_spawner.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// Runs a shell's text as worker 7, and gives what it writes to its channel before it ends.
std::string said_by(const std::string& text, const std::vector<int>& inherited = {}) {
  WorkerSpawner spawner({{"sh", "-c", text}}, [](Severity, std::string_view) {});
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const auto worker = spawner.spawn(7, theirs, inherited);
  theirs.reset();
  std::string said = test::read_until_end(ours.get());
  CHECK(test::becomes_readable(worker->exit_fd()));
  CHECK(worker->finish().success());
  return said;
}

TEST_CASE("a worker finds its channel, its number and the mark of its tree") {
  CHECK(said_by("echo $HANDOFF_CHANNEL_FD $HANDOFF_WORKER ${LISTEN_FDS-none} >&3") == "3 7 none\n");
  CHECK(said_by("echo ${RPC_MARK%%-*} >&3") == std::to_string(getpid()) + "\n");
}

TEST_CASE("a worker finds inherited descriptors from 3 on, and its channel after them") {
  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(said_by("test $LISTEN_PID = $$ && "
                "echo $HANDOFF_CHANNEL_FD $LISTEN_FDS $LISTEN_FDNAMES >&$HANDOFF_CHANNEL_FD",
                {null.get(), null.get()}) == "5 2 listener:listener\n");
}

TEST_CASE("a worker that can't be executed is an error that names it") {
  WorkerSpawner spawner({{"/nowhere/worker"}}, [](Severity, std::string_view) {});
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const auto error =
      test::thrown_by<SystemError>([&, &channel = theirs] { spawner.spawn(1, channel, {}); });
  CHECK(error.error_number() == ENOENT);
  CHECK(std::string(error.what()).find("/nowhere/worker") != std::string::npos);
}

TEST_CASE("a worker that is killed has ended, and nothing of it is left") {
  WorkerSpawner spawner({{"sleep", "1000"}}, [](Severity, std::string_view) {});
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const auto worker = spawner.spawn(1, theirs, {});
  CHECK(!worker->leader_has_ended());
  CHECK(!worker->is_empty());
  worker->kill();
  CHECK(test::becomes_readable(worker->exit_fd()));
  CHECK(worker->leader_has_ended());
  CHECK(worker->is_empty());
  CHECK(worker->finish().signal == SIGKILL);
}

}  // namespace
}  // namespace handoff
