// SPDX-License-Identifier: MIT
#include "rpc/client_connection.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <memory>
#include <span>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

constexpr std::size_t kInputSize = 64 * 1024;

/// Returns what the exit status says about a command, by the rules of sh(1) for commands that it
/// cannot run.
std::string_view meaning_of(const ExitStatus& status, bool has_replied) {
  if (status.signal == 0 && !has_replied) {
    if (status.code == 127) { return "the command was not found"; }
    if (status.code == 126) { return "the command can't be run"; }
  }
  return "the command ended before it replied";
}

}  // namespace

// The caller keeps the reactor and the address until the task has ended, as the header says.
// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::unique_ptr<ClientConnection>> ClientConnection::connect(Reactor& reactor,
                                                                  const Address& address,
                                                                  TimeLimit limit,
                                                                  std::uint32_t max_frame,
                                                                  ConnectOptions options) {
  // NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
  DialedSocket connection = co_await connect_to(reactor, address, limit, options);
  co_return std::make_unique<ClientConnection>(reactor, std::move(connection), address.text,
                                               max_frame);
}

ClientConnection::ClientConnection(Reactor& reactor, DialedSocket connection, std::string name,
                                   std::uint32_t max_frame)
    : stream_(reactor, std::move(connection.socket)),
      name_(std::move(name)),
      max_frame_(max_frame),
      input_(kInputSize) {
  keep_urgent_data(stream_.fd());
  if (connection.child) { child_.emplace(reactor, *std::move(connection.child)); }
}

ClientConnection::~ClientConnection() {
  if (!child_) { return; }
  stream_.end_writing();
  stream_.reactor().spawn(ExecChild::end(std::move(*child_)));
}

Task<void> ClientConnection::lost(IoResult result) {
  if (child_ && co_await child_->ended()) {
    const ExitStatus& status = child_->status();
    const bool has_replied = received_at_ != TimePoint();
    throw CommandEnded(fmt::format("cannot call {}: {} ({})", name_,
                                   meaning_of(status, has_replied), status.text()),
                       has_replied ? ExitStatus{} : status);
  }
  if (result.outcome == IoResult::Outcome::end) {
    throw ConnectionLost(
        fmt::format("cannot call {}: the server closed the connection before it replied", name_));
  }
  throw ConnectionLost(fmt::format("cannot call {}: {}", name_, error_text(result.error_number)));
}

void ClientConnection::queue(std::string_view method, std::string_view params, std::string_view id,
                             Dialect dialect) {
  FrameWriter writer(unsent_.end());
  try {
    append_request(unsent_.end(), dialect, method, params, id);
  } catch (...) {
    writer.discard();
    throw;
  }
  writer.finish();
}

bool ClientConnection::has_ended() const {
  char byte = 0;
  return recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool ClientConnection::has_unread() const {
  char byte = 0;
  return input_.bytes().size() > used_ || recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

IoResult ClientConnection::try_flush() {
  IoResult result{IoResult::Outcome::done};
  while (!unsent_.empty() && result.done()) {
    result = stream_.try_write(unsent_.bytes());
    unsent_.consume(result.size);
    written_ += result.size;
  }
  return result;
}

Task<void> ClientConnection::flush(TimeLimit limit) {
  WaitTimeout deadline(stream_.watcher(), limit.when);
  for (IoResult result = try_flush(); !result.done(); result = try_flush()) {
    if (result.outcome == IoResult::Outcome::broken) { co_await lost(result); }
    if (!co_await stream_.writable()) {
      throw TimedOut(fmt::format("cannot call {}: {}", name_, limit.timed_out()));
    }
  }
}

IoResult ClientConnection::try_read() {
  input_.make_room();
  const std::span<char> room = input_.room();
  const IoResult result = stream_.try_read(room);
  if (!result.done()) { return result; }
  received_at_ = Clock::now();
  may_be_more_ = result.size == room.size() || stream_.stops_short();
  input_.commit(result.size);
  return result;
}

std::optional<Reply> ClientConnection::try_receive() {
  input_.consume(std::exchange(used_, 0));
  const DecodedFrame frame = decode_frame(input_.bytes(), max_frame_);
  switch (frame.outcome) {
    case DecodedFrame::Outcome::partial: return std::nullopt;
    case DecodedFrame::Outcome::oversized:
      throw ProtocolError(fmt::format("cannot call {}: a reply of {} bytes exceeds the limit of {}",
                                      name_, frame.body_size, max_frame_));
    case DecodedFrame::Outcome::complete: used_ = frame.size; break;
  }
  try {
    return parser_.parse(frame.body);
  } catch (const ProtocolError& error) {
    throw ProtocolError(fmt::format("cannot call {}: {}", name_, error.what()));
  }
}

Task<Reply> ClientConnection::receive(TimeLimit limit) {
  WaitTimeout deadline(stream_.watcher(), limit.when);
  for (;;) {
    if (const auto reply = try_receive()) { co_return *reply; }
    const IoResult result = try_read();
    if (result.done()) { continue; }
    if (result.outcome != IoResult::Outcome::would_block) { co_await lost(result); }
    if (!co_await stream_.readable()) {
      throw TimedOut(fmt::format("cannot call {}: {}", name_, limit.timed_out()));
    }
  }
}

}  // namespace handoff
