// SPDX-License-Identifier: MIT
#include "worker/stdio_relay.hpp"

#include <array>
#include <utility>

namespace handoff {

StdioRelay::StdioRelay(Reactor& reactor, Fd input, Fd output, Fd socket,
                       std::function<void()> finished)
    : reactor_(reactor),
      input_(reactor, std::move(input)),
      output_(reactor, std::move(output)),
      socket_(reactor, std::move(socket)),
      tell_finished_(std::move(finished)) {}

void StdioRelay::start() {
  reactor_.spawn(copy(shared_from_this(), input_, socket_));
  reactor_.spawn(copy_output(shared_from_this()));
}

/// `from` and `to` are members of `self`, which keeps them alive.
// `self` keeps both streams.
// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> StdioRelay::copy([[maybe_unused]] std::shared_ptr<StdioRelay> self, Stream& from,
                            Stream& to) {
  // NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const IoResult read = co_await from.read_some(buffer);
    if (!read.done()) { break; }
    const IoResult written = co_await to.write_all({buffer.data(), read.size});
    if (!written.done()) { break; }
  }
  to.end_writing();
}

Task<void> StdioRelay::copy_output(std::shared_ptr<StdioRelay> self) {
  co_await copy(self, self->socket_, self->output_);
  self->finished_ = true;
  self->tell_finished_();
}

}  // namespace handoff
