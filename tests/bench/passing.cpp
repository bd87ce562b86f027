// SPDX-License-Identifier: MIT
// How many descriptors a second pass from one process to another: one a message, and in batches.
// Prints a line for each size of batch: "16 a message: 3.2 million a second".
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"

namespace {

void wait_for(int socket, short event) {
  pollfd poll_fd{socket, event, 0};
  handoff::retry([&] { return poll(&poll_fd, 1, -1); });
}

/// Receives and closes until the sender has gone.
void receive_all(int socket) {
  std::array<char, 64> buffer;
  for (;;) {
    const auto result = handoff::recv_fds(socket, buffer, handoff::kMaxDescriptorsPerMessage);
    if (result.outcome == handoff::ReceiveOutcome::end) { return; }
    if (result.outcome == handoff::ReceiveOutcome::would_block) { wait_for(socket, POLLIN); }
  }
}

void send_all(int socket, std::size_t batch, std::size_t total) {
  const std::vector<int> descriptors(batch, STDERR_FILENO);
  const char byte = 0;
  for (std::size_t sent = 0; sent < total;) {
    const auto result = handoff::send_fds(socket, {&byte, 1}, descriptors);
    if (result.outcome == handoff::SendOutcome::sent) {
      sent += batch;
    } else {
      wait_for(socket, POLLOUT);
    }
  }
}

double rate(std::size_t batch, std::size_t total) {
  auto [sender, receiver] = handoff::make_socket_pair(SOCK_SEQPACKET);
  const pid_t child = fork();
  if (child == 0) {
    sender.reset();
    receive_all(receiver.get());
    _exit(0);
  }
  receiver.reset();
  const auto started = std::chrono::steady_clock::now();
  send_all(sender.get(), batch, total);
  sender.reset();
  handoff::retry([&] { return waitpid(child, nullptr, 0); });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
  return static_cast<double>(total) / elapsed.count();
}

}  // namespace

int main() {
  for (const std::size_t batch : {1U, 16U, 64U, 253U}) {
    fmt::print("{} a message: {:.2f} million a second\n", batch, rate(batch, 1'000'000) / 1e6);
  }
}
