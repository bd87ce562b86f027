// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <array>
#include <iterator>
#include <utility>

#include <handoff/pass/fd_passing.hpp>
#include <handoff/pass/handover_receiver.hpp>
#include <handoff/wire/errors.hpp>

#include "os/descriptor_limit.hpp"
#include "os/socket.hpp"
#include "pass/plain_form.hpp"

namespace handoff {
namespace {

/// Returns whether nothing more can arrive. A socket of packets reads an empty packet as it reads
/// its end.
bool has_ended(int socket) {
  if (socket_type(socket) == SOCK_STREAM) { return true; }
  pollfd asked{socket, POLLRDHUP, 0};
  int unread = 0;
  return poll(&asked, 1, 0) > 0 && (asked.revents & (POLLRDHUP | POLLHUP)) != 0 &&
         ioctl(socket, SIOCINQ, &unread) == 0 && unread == 0;
}

}  // namespace

HandoverReceiver::Step HandoverReceiver::step() {
  // A packet is read as a whole or cut, so there is room for the longest message.
  static thread_local std::array<char, handover::kMaxMessage> buffer;
  ReceiveResult result = recv_fds(socket_, buffer, kMaxDescriptorsPerMessage);
  switch (result.outcome) {
    case ReceiveOutcome::received:
      return add({buffer.data(), result.size}, std::move(result.descriptors));
    case ReceiveOutcome::would_block: return Step::would_block;
    case ReceiveOutcome::end:
    case ReceiveOutcome::reset: return at_end();
    case ReceiveOutcome::exhausted:
    case ReceiveOutcome::failed: throw_if_failed(result); break;
    case ReceiveOutcome::truncated: break;
  }
  if (result.size == buffer.size()) {
    throw ProtocolError(
        fmt::format("cannot receive on {}: a packet of more than {} bytes (send a "
                    "shorter one, or use a stream socket)",
                    name_, buffer.size()));
  }
  throw ProtocolError(fmt::format(
      "cannot receive on {}: more descriptors than fit (the limit is {}, see `ulimit -n`)", name_,
      descriptor_limit()));
}

HandoverReceiver::Step HandoverReceiver::at_end() {
  if (!has_ended(socket_)) {
    return Step::more;  // an empty packet, which means nothing
  }
  if (!is_within_message()) { return Step::end; }
  throw ProtocolError(
      fmt::format("cannot receive on {}: the sender closed within a message", name_));
}

HandoverReceiver::Step HandoverReceiver::add(std::string_view bytes, std::vector<Fd> descriptors) {
  if (after_plain_ && descriptors.empty() && !is_within_message()) { return Step::more; }
  bytes_.append(bytes);
  received_.descriptors.insert(received_.descriptors.end(),
                               std::make_move_iterator(descriptors.begin()),
                               std::make_move_iterator(descriptors.end()));
  handover::Message message;
  const auto decoded = handover::decode(bytes_, received_.descriptors.size(), message);
  if (decoded == handover::Decoded::invalid || bytes_.size() > handover::kMaxMessage) {
    throw ProtocolError(fmt::format("cannot receive on {}: the message is malformed", name_));
  }
  if (decoded == handover::Decoded::partial) { return Step::more; }
  after_plain_ = message.form == handover::Form::plain;
  if (after_plain_) { received_.client = plain_form::client_of(bytes_); }
  received_.names = std::move(message.names);
  received_.confirm = message.confirm;
  bytes_.clear();
  return Step::message;
}

Received HandoverReceiver::take() {
  return std::exchange(received_, {});
}

}  // namespace handoff
