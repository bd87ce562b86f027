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

/// How much of `text` one write(2) to `descriptor` may take. A pipe takes PIPE_BUF bytes at once
/// and unbroken, and so a piece for it ends with the last line that fits: with several writers, no
/// line of up to PIPE_BUF bytes is torn. A file takes everything.
std::string_view first_piece(std::string_view text, int descriptor);

/// Blocks until all is written, in pieces as above; O_NONBLOCK of stdout does not matter. Throws
/// SystemError ("cannot write to stdout: ..."); see also end_if_reader_has_gone().
void write_to_stdout(std::string_view text);

/// Writes text to stdout while the reactor goes on with everything else: a reader of stdout that
/// pauses holds up nothing but the output. Text is kept until it can be written, so a program that
/// makes much of it asks is_behind() before it makes more. Text is written in pieces as
/// first_piece() has them, and O_NONBLOCK of stdout does not matter.
class StdoutWriter {
 public:
  /// The reactor must outlive it. It does not close stdout.
  explicit StdoutWriter(Reactor& reactor);
  StdoutWriter(const StdoutWriter&) = delete;
  StdoutWriter& operator=(const StdoutWriter&) = delete;
  ~StdoutWriter();

  Reactor& reactor() const { return stream_.reactor(); }

  /// Writes what is added, for as long as the reactor runs. Spawn it before anything else here is
  /// awaited. Throws SystemError ("cannot write to stdout: ...") when stdout can't be written to;
  /// see also end_if_reader_has_gone().
  Task<void> run();

  /// Adds to what is to be written. Does not block.
  void add(std::string_view text);
  /// Writes what stdout takes at once. Does not block. Throws as run() does.
  void write_now();
  /// Drops what is not written yet.
  void discard();
  bool is_empty() const { return text_.empty(); }
  /// Whether at least kBehind bytes wait to be written.
  bool is_behind() const { return text_.size() >= kBehind; }

  /// Waits until is_behind() is false. One coroutine at a time.
  Task<void> caught_up();
  /// Waits until is_behind() is true. One coroutine at a time.
  Task<void> fell_behind();
  /// Waits until all is written. One coroutine at a time.
  Task<void> drained();

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
