// SPDX-License-Identifier: MIT
#include "cli/stdout_writer.hpp"

#include <climits>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/error.hpp"
#include "os/program.hpp"

namespace handoff {
namespace {

/// Returns whether the descriptor accepts everything at once, as a file or /dev/null does. A
/// terminal, a pipe and a socket may have no room.
bool takes_everything(int descriptor) {
  struct stat found {};
  if (fstat(descriptor, &found) < 0) { return false; }
  return S_ISREG(found.st_mode) || (S_ISCHR(found.st_mode) && isatty(descriptor) == 0);
}

[[noreturn]] void fail(int error) {
  end_if_reader_has_gone(error);
  throw SystemError(error, "write to", "stdout");
}

}  // namespace

std::string_view first_piece(std::string_view text, int descriptor) {
  if (text.size() <= PIPE_BUF || takes_everything(descriptor)) { return text; }
  const std::string_view piece = text.substr(0, PIPE_BUF);
  const std::size_t newline = piece.rfind('\n');
  return newline == std::string_view::npos ? piece : piece.substr(0, newline + 1);
}

void write_to_stdout(std::string_view text) {
  while (!text.empty()) {
    pollfd ready{STDOUT_FILENO, POLLOUT, 0};
    retry([&] { return poll(&ready, 1, -1); });
    const std::string_view piece = first_piece(text, STDOUT_FILENO);
    const ssize_t size = retry([&] { return write(STDOUT_FILENO, piece.data(), piece.size()); });
    if (size >= 0) {
      text.remove_prefix(static_cast<std::size_t>(size));
    } else if (errno != EAGAIN) {
      fail(errno);
    }
  }
}

StdoutWriter::StdoutWriter(Reactor& reactor)
    // A descriptor that never blocks is written to like a non-blocking one, without asking poll(2)
    // first.
    : stream_(reactor, Fd(STDOUT_FILENO),
              takes_everything(STDOUT_FILENO) ? Stream::Kind::nonblocking
                                              : Stream::kind_of(STDOUT_FILENO)),
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
      co_await added_.wait_until([this] { return !is_empty(); });
    } else {
      co_await stream_.writable();
    }
  }
}

void StdoutWriter::add(std::string_view text) {
  text_.append(text);
  if (!is_empty()) { added_.notify_all(); }
  if (is_behind()) { fell_behind_.notify_all(); }
}

void StdoutWriter::write_now() {
  while (!is_empty()) {
    IoResult result{IoResult::Outcome::would_block};
    try {
      result = stream_.try_write(first_piece(text_.bytes(), STDOUT_FILENO));
    } catch (const SystemError& error) {
      // stdout is closed, or not open for writing.
      fail(error.error_number());
    }
    if (result.outcome == IoResult::Outcome::broken) { fail(result.error_number); }
    if (!result.done()) { break; }
    text_.consume(result.size);
  }
  if (!is_behind()) { caught_up_.notify_all(); }
  if (is_empty()) { drained_.notify_all(); }
}

void StdoutWriter::discard() {
  text_.clear();
  caught_up_.notify_all();
  drained_.notify_all();
}

Task<void> StdoutWriter::caught_up() {
  co_await caught_up_.wait_until([this] { return !is_behind(); });
}

Task<void> StdoutWriter::fell_behind() {
  co_await fell_behind_.wait_until([this] { return is_behind(); });
}

Task<void> StdoutWriter::drained() {
  co_await drained_.wait_until([this] { return is_empty(); });
}

}  // namespace handoff
