// SPDX-License-Identifier: MIT
#include "commands/exec_received.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/fd.hpp>

#include "os/socket.hpp"
#include "pass/sources.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Placement = ReceiveOptions::Placement;

ReceiveOptions running_command(Placement placement) {
  ReceiveOptions options;
  options.command = {"cat", "-"};
  options.placement = placement;
  return options;
}

Received two_pipe_ends() {
  Pipe pipe = make_pipe();
  Received received;
  received.descriptors.push_back(std::move(pipe.read_end));
  received.descriptors.push_back(std::move(pipe.write_end));
  received.names = {"in", ""};
  return received;
}

/// Our descriptor that the command gets as `target`; -1 for none.
int given_as(int target, const SpawnOptions& options) {
  int given = -1;
  for (const auto& [number, to] : options.descriptors) {
    if (to != target) { continue; }
    CHECK(given == -1);
    given = number;
  }
  return given;
}

bool has(const SpawnOptions& options, const std::string& entry) {
  return std::find(options.environment.begin(), options.environment.end(), entry) !=
         options.environment.end();
}

TEST_CASE("the command stays in our process group, for a signal of the terminal") {
  const Received received = two_pipe_ends();
  const SpawnOptions options = spawn_options(running_command(Placement::stdio), received);
  CHECK(options.argv == std::vector<std::string>{"cat", "-"});
  CHECK_FALSE(options.new_group);
}

TEST_CASE("the descriptor becomes the command's stdin and stdout, or its stdin alone") {
  const Received received = two_pipe_ends();
  const int first = received.descriptors[0].get();
  const SpawnOptions both = spawn_options(running_command(Placement::stdio), received);
  CHECK(given_as(0, both) == first);
  CHECK(given_as(1, both) == first);
  CHECK(given_as(2, both) == 2);
  const SpawnOptions one = spawn_options(running_command(Placement::stdin_only), received);
  CHECK(given_as(0, one) == first);
  CHECK(given_as(1, one) == 1);
}

TEST_CASE("descriptors get the numbers that were asked for, in order") {
  const Received received = two_pipe_ends();
  ReceiveOptions receive = running_command(Placement::numbers);
  receive.numbers = {9, 1};
  const SpawnOptions options = spawn_options(receive, received);
  CHECK(given_as(9, options) == received.descriptors[0].get());
  CHECK(given_as(1, options) == received.descriptors[1].get());
  CHECK(given_as(0, options) == 0);
}

TEST_CASE("listeners have the numbers from 3 on, and their names") {
  const Received received = two_pipe_ends();
  const SpawnOptions options = spawn_options(running_command(Placement::listen_fds), received);
  CHECK(given_as(3, options) == received.descriptors[0].get());
  CHECK(given_as(4, options) == received.descriptors[1].get());
  CHECK(has(options, "LISTEN_FDS=2"));
  CHECK(has(options, "LISTEN_FDNAMES=in:unknown"));
  CHECK(options.listen_pid);
}

TEST_CASE("the socket that descriptors arrive on is not the command's") {
  const Received received = two_pipe_ends();
  ReceiveOptions receive = running_command(Placement::numbers);
  receive.numbers = {5, 6};
  receive.rendezvous.socket.number = STDIN_FILENO;
  const SpawnOptions options = spawn_options(receive, received);
  CHECK(test::same_file(given_as(0, options), open_file("/dev/null", OpenMode::read).get()));
  CHECK(given_as(0, options) != STDIN_FILENO);
  CHECK(given_as(1, options) == STDOUT_FILENO);
}

TEST_CASE("the command is told of the connection that it gets, and of no other") {
  setenv("TCPREMOTEIP", "192.0.2.1", 1);
  setenv("KEPT", "yes", 1);
  const Received received = two_pipe_ends();
  const SpawnOptions none = spawn_options(running_command(Placement::stdio), received);
  CHECK_FALSE(has(none, "TCPREMOTEIP=192.0.2.1"));
  CHECK(has(none, "KEPT=yes"));
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  Received connection;
  connection.descriptors.push_back(std::move(ours));
  connection.names = {""};
  CHECK(has(spawn_options(running_command(Placement::stdio), connection), "PROTO=UNIX"));
  unsetenv("TCPREMOTEIP");
  unsetenv("KEPT");
}

}  // namespace
}  // namespace handoff
