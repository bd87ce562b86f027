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

/// The bytes of a connection that were read and not used, and the time by which the frame that they
/// begin must be complete.
struct UnusedBytes {
  explicit UnusedBytes(std::size_t capacity) : buffer(capacity) {}

  ReceiveBuffer buffer;
  TimePoint due = kNever;
};

/// Takes the bytes of a connection apart into frames, and keeps the deadline of a frame that has
/// begun to arrive. It holds a buffer only as long as there are bytes that were read and not used;
/// otherwise a turn works in `shared`, a buffer of all connections. Used on the reactor's thread
/// only.
///
/// A turn, which is one step of the session and not a turn of the event loop, is begin_turn(), then
/// maybe receive() and judge(), then next_frame() and ReceiveBuffer::consume() for each frame, then
/// end_turn().
class SessionInput {
 public:
  /// `unread` has the bytes that another process has read and not used; null: none.
  SessionInput(Framing framing, std::unique_ptr<UnusedBytes> unread);

  Framing framing() const { return framing_; }
  /// Returns the number of bytes that were read and not used.
  std::size_t held() const { return partial_ ? partial_->buffer.bytes().size() : 0; }
  bool holds_bytes() const { return partial_ != nullptr; }
  /// Returns these bytes, which are valid until the next turn.
  std::string_view unused() const;
  /// Returns whether the bytes may contain a complete frame, so that it need not read first.
  bool has_frames() const { return rest_ == Rest::frames; }
  /// Returns whether a frame has begun whose rest has not arrived.
  bool awaits_rest() const { return holds_bytes() && rest_ == Rest::start_of_frame; }
  /// Forgets the bytes that were read, and the deadline.
  void drop();

  /// Begins a turn. Returns its buffer, which is `shared` if no bytes are held.
  ReceiveBuffer& begin_turn(ReceiveBuffer& shared) {
    if (partial_) { return partial_->buffer; }
    shared.clear();
    return shared;
  }

  enum class Received : std::uint8_t {
    some,     ///< some bytes were read; more may have arrived
    all,      ///< all bytes that have arrived were read
    nothing,  ///< nothing has arrived
    end,      ///< the client has ended its side
    broken    ///< the connection has broken
  };
  /// Reads once, without blocking. has_frames() then says whether the bytes may contain a complete
  /// frame.
  Received receive(ReceiveBuffer& bytes, Stream& stream, std::uint32_t max_frame);

  /// Finds out the framing from the first bytes, and drops blanks before them. The result is
  /// undecided only while more bytes may follow. The caller drops the bytes of a stranger.
  Start judge(ReceiveBuffer& bytes, Framing expected, MoreBytes more);
  /// Adds the newline that the last line of a client need not have.
  void end_last_line(ReceiveBuffer& bytes) const;
  /// Returns the next frame of the buffer, whose views are valid until the buffer changes.
  DecodedFrame next_frame(const ReceiveBuffer& bytes, std::uint32_t max_frame) const {
    return framing_ == Framing::lines ? decode_line(bytes.bytes(), max_frame)
                                      : decode_frame(bytes.bytes(), max_frame);
  }

  enum class Left : std::uint8_t {
    frames,         ///< complete frames may be left
    start_of_frame  ///< every complete frame was taken
  };
  /// Ends a turn in which `frames` frames were taken, and keeps the bytes that are left. A frame's
  /// deadline counts from its own first byte, not from the latest one; start_deadline() starts it
  /// for a frame that has begun in this turn.
  void end_turn(ReceiveBuffer& bytes, Left left, int frames) {
    if (frames > 0 || !partial_) { stop_deadline(); }
    rest_ = Rest::nothing;
    if (partial_ || !bytes.empty()) { keep(bytes, left); }
  }

  /// Returns when the frame that has begun must be complete; kNever if there is none.
  TimePoint due() const { return partial_ ? partial_->due : kNever; }
  /// Gives the frame that has begun this deadline, unless it has one. Call it only while bytes are
  /// held.
  void start_deadline(TimePoint due);
  /// Stops the deadline: a frame is not late while the server does not read it.
  void stop_deadline() {
    if (partial_) { partial_->due = kNever; }
  }

 private:
  enum class Rest : std::uint8_t { nothing, start_of_frame, frames };

  bool goes_on(std::span<const char> arrived, const ReceiveBuffer& bytes,
               std::uint32_t max_frame) const;
  void keep(ReceiveBuffer& bytes, Left left);

  std::unique_ptr<UnusedBytes> partial_;
  Framing framing_;  ///< unknown until the first bytes were judged
  Rest rest_;
};

}  // namespace handoff
