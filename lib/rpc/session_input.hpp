// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>

#include "wire/frame_decoder.hpp"
#include "wire/framing.hpp"
#include "wire/receive_buffer.hpp"
#include "wire/start.hpp"

namespace handoff {

/// Bytes that were read and not used, and when the frame that they begin must be whole.
struct UnusedBytes {
  explicit UnusedBytes(std::size_t capacity) : buffer(capacity) {}

  ReceiveBuffer buffer;
  TimePoint due = kNever;
};

/// Takes the bytes of a connection apart into frames, and keeps the deadline of a frame that has
/// begun to arrive. It holds a buffer only while there are bytes that were read and not used; else
/// a turn works in `shared`, a buffer of all connections.
///
/// A turn is begin_turn(), then maybe receive() and judge(), then next_frame() and consume() for
/// each frame, then end_turn().
class SessionInput {
 public:
  /// `unread` are bytes that were read elsewhere and not used.
  SessionInput(Framing framing, std::unique_ptr<UnusedBytes> unread);

  Framing framing() const { return framing_; }
  /// Bytes that were read and not used.
  std::size_t held() const { return partial_ ? partial_->buffer.bytes().size() : 0; }
  bool holds_bytes() const { return partial_ != nullptr; }
  std::string_view unused() const;
  /// Whether frames may be left from the last turn, so that nothing need be read first.
  bool has_frames() const { return rest_ == Rest::frames; }
  /// Whether a frame has begun, and not all of it is there.
  bool awaits_rest() const { return holds_bytes() && rest_ == Rest::start_of_frame; }
  /// Forgets what was read.
  void drop();

  /// The buffer of a turn.
  ReceiveBuffer& begin_turn(ReceiveBuffer& shared) {
    if (partial_) { return partial_->buffer; }
    shared.clear();
    return shared;
  }

  enum class Received : std::uint8_t {
    some,     ///< bytes; there may be more
    all,      ///< bytes, and there are no more now
    nothing,  ///< there is nothing to read now
    end,      ///< the client sends no more
    broken    ///< the connection is
  };
  /// Reads once. has_frames() says whether the bytes may hold a whole frame.
  Received receive(ReceiveBuffer& bytes, Stream& stream, std::uint32_t max_frame);

  /// Finds out the framing from the first bytes, and drops blanks in front of them. Undecided
  /// only while more can follow; a stranger's bytes are for the caller to drop.
  Start judge(ReceiveBuffer& bytes, Framing expected, MoreBytes more);
  /// The last line needs no newline.
  void end_last_line(ReceiveBuffer& bytes) const;
  DecodedFrame next_frame(const ReceiveBuffer& bytes, std::uint32_t max_frame) const {
    return framing_ == Framing::lines ? decode_line(bytes.bytes(), max_frame)
                                      : decode_frame(bytes.bytes(), max_frame);
  }

  enum class Left : std::uint8_t {
    frames,         ///< there may be more of them
    start_of_frame  ///< all whole frames were taken
  };
  /// Keeps what is left, before which so many frames were taken. A frame's deadline counts from its
  /// own first byte and not from its latest: start_deadline() starts it for one that has begun in
  /// this turn.
  void end_turn(ReceiveBuffer& bytes, Left left, int frames) {
    if (frames > 0 || !partial_) { stop_deadline(); }
    rest_ = Rest::nothing;
    if (partial_ || !bytes.empty()) { keep(bytes, left); }
  }

  /// When the frame that has begun must be whole; kNever without one.
  TimePoint due() const { return partial_ ? partial_->due : kNever; }
  /// Gives the frame that has begun this deadline, if it has none. Only while it holds bytes.
  void start_deadline(TimePoint due);
  /// A frame that is not read is not late.
  void stop_deadline() {
    if (partial_) { partial_->due = kNever; }
  }

 private:
  enum class Rest : std::uint8_t { nothing, start_of_frame, frames };

  bool goes_on(std::span<const char> arrived, const ReceiveBuffer& bytes,
               std::uint32_t max_frame) const;
  void keep(ReceiveBuffer& bytes, Left left);

  std::unique_ptr<UnusedBytes> partial_;
  Framing framing_;  ///< unknown until the start of the connection was judged
  Rest rest_;
};

}  // namespace handoff
