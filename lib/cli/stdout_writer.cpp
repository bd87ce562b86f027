// SPDX-License-Identifier: MIT
#include "cli/stdout_writer.hpp"

#include <unistd.h>

#include "os/error.hpp"
#include "os/program.hpp"

namespace handoff {

StdoutWriter::StdoutWriter(Reactor& reactor)
    : stream_(reactor, Fd(STDOUT_FILENO)),
      added_(reactor),
      caught_up_(reactor),
      fell_behind_(reactor),
      drained_(reactor) {}

StdoutWriter::~StdoutWriter() {
  [[maybe_unused]] const int still_open = stream_.release().release();
}

Task<void> StdoutWriter::run() {
  for (;;) {
    write_now();
    if (is_empty()) {
      added_.clear();
      co_await added_;
    } else {
      co_await stream_.writable();
    }
  }
}

void StdoutWriter::add(std::string_view text) {
  text_.append(text);
  if (!is_empty()) added_.set();
  if (is_behind()) fell_behind_.set();
}

void StdoutWriter::write_now() {
  while (!is_empty()) {
    IoResult result{IoResult::Outcome::would_block};
    try {
      result = stream_.try_write(std::string_view(text_).substr(written_));
    } catch (const SystemError& error) {
      // It is closed, or not open for writing.
      throw SystemError(error.error_number(), error.attempt(), "stdout");
    }
    if (result.outcome == IoResult::Outcome::broken) {
      end_if_reader_has_gone(result.error_number);
      throw SystemError(result.error_number, "write", "stdout");
    }
    if (!result.done()) break;
    written_ += result.size;
    // What was written is dropped in large pieces, for that moves the rest.
    if (written_ == text_.size() || (written_ >= kBehind && written_ > text_.size() / 2)) {
      text_.erase(0, written_);
      written_ = 0;
    }
  }
  if (!is_behind()) caught_up_.set();
  if (is_empty()) drained_.set();
}

void StdoutWriter::discard() {
  text_.clear();
  written_ = 0;
  caught_up_.set();
  drained_.set();
}

Task<void> StdoutWriter::caught_up() {
  while (is_behind()) {
    caught_up_.clear();
    co_await caught_up_;
  }
}

Task<void> StdoutWriter::fell_behind() {
  while (!is_behind()) {
    fell_behind_.clear();
    co_await fell_behind_;
  }
}

Task<void> StdoutWriter::drained() {
  while (!is_empty()) {
    drained_.clear();
    co_await drained_;
  }
}

}  // namespace handoff
