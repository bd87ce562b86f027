// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "async/task.hpp"
#include "wire/byte_queue.hpp"

namespace handoff {

/// Returns how much of `text` one write(2) to `descriptor` may take. A pipe takes PIPE_BUF bytes at
/// once and unbroken (pipe(7)), so a piece for it ends with the last line that fits: with several
/// writers, no line of up to PIPE_BUF bytes is torn. A file takes everything.
std::string_view first_piece(std::string_view text, int descriptor);

/// Writes `text` in such pieces, and blocks until it is written, even if stdout has O_NONBLOCK.
/// Throws SystemError ("cannot write to stdout: ..."); see also end_if_reader_has_gone().
void write_to_stdout(std::string_view text);

/// Writes text to stdout while the reactor does everything else: a reader of stdout that pauses
/// delays nothing but the output. The text is kept until it can be written, so a program that makes
/// much of it checks is_behind() before it makes more. Text is written in the pieces of
/// first_piece(), and stdout may have O_NONBLOCK or not.
class StdoutWriter {
 public:
  /// The reactor must outlive this object, which does not close stdout.
  explicit StdoutWriter(Reactor& reactor);
  StdoutWriter(const StdoutWriter&) = delete;
  StdoutWriter& operator=(const StdoutWriter&) = delete;
  ~StdoutWriter();

  Reactor& reactor() const { return stream_.reactor(); }

  /// Writes what is added, for as long as the reactor runs. Spawn it before any other task of this
  /// object is awaited. Throws SystemError ("cannot write to stdout: ...") if stdout cannot be
  /// written to; see also end_if_reader_has_gone().
  Task<void> run();

  /// Adds text that is to be written. Does not block.
  void add(std::string_view text);
  /// Writes what stdout accepts at once. Does not block. Throws what run() throws.
  void write_now();
  /// Drops all text that is not yet written.
  void discard();
  /// Returns whether everything was written.
  bool is_empty() const { return text_.empty(); }
  /// Returns whether at least kBehind bytes wait to be written.
  bool is_behind() const { return text_.size() >= kBehind; }

  /// Waits until is_behind() is false. One coroutine at a time may wait. This object must outlive
  /// the task.
  Task<void> caught_up();
  /// Waits until is_behind() is true. One coroutine at a time may wait. This object must outlive
  /// the task.
  Task<void> fell_behind();
  /// Waits until everything is written. One coroutine at a time may wait. This object must outlive
  /// the task.
  Task<void> drained();

  /// The bytes that may wait before is_behind().
  static constexpr std::size_t kBehind = 64 * 1024;

 private:
  Stream stream_;
  ByteQueue text_;
  Condition added_;
  Condition caught_up_;
  Condition fell_behind_;
  Condition drained_;
};

}  // namespace handoff
