// SPDX-License-Identifier: MIT
#include "rpc/client.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <memory>

#include "os/error.hpp"

namespace handoff {
namespace {

constexpr std::size_t kInputSize = 64 * 1024;

/// How long an exec: command may take to end once its input has.
constexpr auto kEndTime = std::chrono::seconds(5);

/// So that no zombie stays, and nothing that hangs.
Task<void> finish(Reactor& reactor, Child child) {
  Readiness exited(reactor, child.pidfd());
  Deadline limit(exited, reactor.now() + kEndTime);
  while (!child.has_ended()) {
    if (!co_await exited.readable()) child.kill(SIGKILL);
  }
  child.reap();
}

}  // namespace

Task<std::unique_ptr<Client>> Client::connect(Reactor& reactor, const Address& address,
                                              TimePoint deadline, std::uint32_t max_frame) {
  Connection connection = co_await connect_to(reactor, address, deadline);
  co_return std::make_unique<Client>(reactor, std::move(connection), address.text, max_frame);
}

Client::Client(Reactor& reactor, Connection connection, std::string name, std::uint32_t max_frame)
    : stream_(reactor, std::move(connection.socket)),
      child_(std::move(connection.child)),
      name_(std::move(name)),
      max_frame_(max_frame),
      input_(kInputSize) {}

Client::~Client() {
  if (!child_) return;
  stream_.end_writing();
  stream_.reactor().spawn(finish(stream_.reactor(), std::move(*child_)));
}

void Client::lost(const IoResult& result) const {
  if (result.outcome == IoResult::Outcome::end) {
    throw ConnectionLost(
        fmt::format("call, on {}: the server closed the connection before it replied", name_));
  }
  throw ConnectionLost(fmt::format("call, on {}: {}", name_, error_text(result.error_number)));
}

void Client::queue(std::string_view method, std::string_view params, std::string_view id,
                   Dialect dialect) {
  FrameWriter writer(unsent_);
  append_request(unsent_, dialect, method, params, id);
  writer.finish();
}

bool Client::has_ended() const {
  char byte = 0;
  return recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool Client::has_unread() const {
  char byte = 0;
  return input_.bytes().size() > used_ || recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

Task<void> Client::flush(TimePoint deadline) {
  Deadline limit(stream_.readiness(), deadline);
  while (!unsent_.empty()) {
    const IoResult result = stream_.try_write(unsent_);
    unsent_.erase(0, result.size);
    written_ += result.size;
    if (result.outcome == IoResult::Outcome::broken) lost(result);
    if (result.outcome == IoResult::Outcome::would_block && !co_await stream_.writable()) {
      throw TimedOut(fmt::format("call, on {}: timed out", name_));
    }
  }
}

std::optional<Reply> Client::try_receive() {
  input_.consume(std::exchange(used_, 0));
  const DecodedFrame frame = decode_frame(input_.bytes(), max_frame_);
  switch (frame.outcome) {
    case DecodedFrame::Outcome::partial: return std::nullopt;
    case DecodedFrame::Outcome::oversized:
      throw ProtocolError(fmt::format("call, on {}: a reply of {} bytes exceeds the limit of {}",
                                      name_, frame.size, max_frame_));
    case DecodedFrame::Outcome::complete: used_ = frame.size; break;
  }
  try {
    return parser_.parse_reply(frame.body);
  } catch (const ProtocolError& error) {
    throw ProtocolError(fmt::format("call, on {}: {}", name_, error.what()));
  }
}

Task<Reply> Client::receive(TimePoint deadline) {
  Deadline limit(stream_.readiness(), deadline);
  for (;;) {
    if (const auto reply = try_receive()) co_return *reply;
    input_.make_room();
    const IoResult result = co_await stream_.read_some(input_.room());
    if (result.outcome == IoResult::Outcome::would_block) {
      throw TimedOut(fmt::format("call, on {}: timed out", name_));
    }
    if (!result.done()) lost(result);
    received_at_ = Clock::now();
    input_.commit(result.size);
  }
}

}  // namespace handoff
