// SPDX-License-Identifier: MIT
#include "commands/exec_received.hpp"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "cli/stdout_writer.hpp"
#include "os/connection_variables.hpp"
#include "os/environment.hpp"
#include "os/listen_fds.hpp"
#include "os/program.hpp"
#include "pass/sources.hpp"

namespace handoff {
namespace {

/// Reads from a descriptor whose O_NONBLOCK flag other processes share, so that it must not be
/// changed. Blocks where a blocking read would. Returns 0 at the end of file.
std::size_t read_received(int descriptor, std::span<char> buffer) {
  for (;;) {
    const ssize_t size = retry([&] { return read(descriptor, buffer.data(), buffer.size()); });
    if (size >= 0) { return static_cast<std::size_t>(size); }
    if (errno != EAGAIN) { throw SystemError(errno, "read", "the received descriptor"); }
    pollfd ready{descriptor, POLLIN, 0};
    retry([&] { return poll(&ready, 1, -1); });
  }
}

}  // namespace

SpawnOptions spawn_options(const ReceiveOptions& receive, const Received& received) {
  SpawnOptions options;
  options.argv = receive.command;
  options.environment = inherited_environment();
  options.new_group = false;
  const auto give = [&](int number, int target) {
    std::erase_if(options.descriptors, [&](const auto& move) { return move.second == target; });
    options.descriptors.emplace_back(number, target);
  };
  // A standard descriptor that is fdrecv's own socket is not for the command.
  static const Fd kNothing = open_file("/dev/null", OpenMode::read_write);
  for (int number = 0; number < kFirstListenFd; ++number) {
    const bool is_ours = number == receive.rendezvous.socket.number;
    give(is_ours || !is_open(number) ? kNothing.get() : number, number);
  }
  const std::vector<Fd>& descriptors = received.descriptors;
  switch (receive.placement) {
    case ReceiveOptions::Placement::stdio:
      give(descriptors[0].get(), STDIN_FILENO);
      give(descriptors[0].get(), STDOUT_FILENO);
      break;
    case ReceiveOptions::Placement::stdin_only: give(descriptors[0].get(), STDIN_FILENO); break;
    case ReceiveOptions::Placement::numbers:
      for (std::size_t i = 0; i < descriptors.size(); ++i) {
        give(descriptors[i].get(), receive.numbers[i]);
      }
      break;
    case ReceiveOptions::Placement::listen_fds: {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < descriptors.size(); ++i) {
        give(descriptors[i].get(), kFirstListenFd + static_cast<int>(i));
        names.push_back(received.names[i].empty() ? "unknown" : received.names[i]);
      }
      give_listen_fds(options, names);
      break;
    }
  }
  std::erase_if(options.environment, describes_a_connection);
  const int first = descriptors[0].get();
  for (std::string& variable : received.client ? connection_variables(first, *received.client)
                                               : connection_variables(first)) {
    options.environment.push_back(std::move(variable));
  }
  return options;
}

ExitCode hand_on(const ReceiveOptions& options, const Received& received) {
  if (options.keep || options.json) { return ExitCode::done; }
  if (!options.command.empty()) { become(spawn_options(options, received)); }
  const int from = received.descriptors[0].get();
  std::array<char, 64 * 1024> buffer;
  while (const std::size_t size = read_received(from, buffer)) {
    write_to_stdout({buffer.data(), size});
  }
  return ExitCode::done;
}

}  // namespace handoff
