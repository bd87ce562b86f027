// SPDX-License-Identifier: MIT
#include "rpc/session_input.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace handoff {
namespace {

/// The least size of a buffer for a frame that has not arrived completely.
constexpr std::size_t kPartialSize = 4096;

/// The most bytes that are read at a time, so that little more than a frame is ever unused.
constexpr std::size_t kMostAtOnce = std::size_t{512} << 10;

}  // namespace

SessionInput::SessionInput(Framing framing, std::unique_ptr<UnusedBytes> unread)
    : partial_(std::move(unread)),
      framing_(framing),
      rest_(partial_ ? Rest::frames : Rest::nothing) {}

std::string_view SessionInput::unused() const {
  if (!partial_) { return {}; }
  const std::span<const char> bytes = std::as_const(partial_->buffer).bytes();
  return {bytes.data(), bytes.size()};
}

void SessionInput::drop() {
  partial_.reset();
  rest_ = Rest::nothing;
}

SessionInput::Received SessionInput::receive(ReceiveBuffer& bytes, Stream& stream,
                                             std::uint32_t max_frame) {
  bytes.make_room();
  const std::size_t room = std::min(bytes.room().size(), kMostAtOnce);
  const IoResult result = stream.try_read(bytes.room().first(room));
  switch (result.outcome) {
    case IoResult::Outcome::done: break;
    case IoResult::Outcome::would_block: return Received::nothing;
    case IoResult::Outcome::end: return Received::end;
    case IoResult::Outcome::broken: return Received::broken;
  }
  const std::span<const char> arrived = bytes.room().first(result.size);
  bytes.commit(result.size);
  if (!goes_on(arrived, bytes, max_frame)) { rest_ = Rest::frames; }
  const bool is_all = result.size < room && !stream.stops_short();
  return is_all ? Received::all : Received::some;
}

/// Returns whether a line that was incomplete still is. If so, its start need not be searched
/// again.
bool SessionInput::goes_on(std::span<const char> arrived, const ReceiveBuffer& bytes,
                           std::uint32_t max_frame) const {
  return framing_ == Framing::lines && awaits_rest() && bytes.bytes().size() <= max_frame &&
         std::find(arrived.begin(), arrived.end(), '\n') == arrived.end();
}

Start SessionInput::judge(ReceiveBuffer& bytes, Framing expected, MoreBytes more) {
  const JudgedStart judged = judge_start(bytes.bytes(), expected, more);
  if (judged.start == Start::lines) { framing_ = Framing::lines; }
  if (judged.start == Start::length) { framing_ = Framing::length; }
  if (judged.start != Start::stranger) { bytes.consume(judged.blanks); }
  return judged.start;
}

void SessionInput::end_last_line(ReceiveBuffer& bytes) const {
  // A frame with a length that was cut off cannot be answered.
  if (framing_ == Framing::lines) { bytes.append(std::string_view("\n")); }
}

void SessionInput::keep(ReceiveBuffer& bytes, Left left) {
  if (bytes.empty()) { return drop(); }
  rest_ = left == Left::frames ? Rest::frames : Rest::start_of_frame;
  if (partial_ && &bytes == &partial_->buffer) { return; }
  partial_ = std::make_unique<UnusedBytes>(std::max(kPartialSize, bytes.bytes().size()));
  partial_->buffer.append(bytes.bytes());
}

void SessionInput::start_deadline(TimePoint due) {
  assert(partial_);
  if (partial_->due == kNever) { partial_->due = due; }
}

}  // namespace handoff
