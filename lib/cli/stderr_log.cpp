// SPDX-License-Identifier: MIT
#include "cli/stderr_log.hpp"

#include <climits>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/journal.hpp"
#include "os/printable.hpp"

namespace handoff {
namespace {

/// Goes to the first column and clears the line, on every terminal since the VT100.
constexpr const char* kClearLine = "\r\033[K";

using WallClock = std::chrono::system_clock;

constexpr Duration kCatchUpPause = std::chrono::seconds(1);

/// A pipe or terminal can be full, and may be shared with other processes, so that O_NONBLOCK must
/// not be set on it: the flag belongs to the open file. Opening it once more makes another open
/// file. Returns no descriptor if that fails, and for a file that never blocks.
Fd reopen_without_waiting(int number) {
  struct stat file {};
  if (fstat(number, &file) < 0 || (fcntl(number, F_GETFL) & O_ACCMODE) == O_RDONLY) { return {}; }
  if (!S_ISFIFO(file.st_mode) && isatty(number) == 0) { return {}; }
  const std::string path = fmt::format("/proc/self/fd/{}", number);
  return Fd(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

StderrLog::StderrLog(std::string tool, int number) : prefix_(std::move(tool)), number_(number) {
  if (leads_to_journal(number)) { prefix_.show_priorities(); }
}

void StderrLog::never_wait() {
  waits_ = false;
  nonblocking_ = reopen_without_waiting(number_);
}

void StderrLog::say(Severity severity, std::string_view text) {
  write_line(prefix_.of_line(severity, WallClock::now()) + printable(text) + '\n');
}

void StderrLog::plain(std::string_view text) {
  write_line((isatty(number_) != 0 ? "\r" : "") +
             prefix_.of_nameless_line(Severity::info, WallClock::now()) + printable(text) + '\n');
}

void StderrLog::set_status(std::string_view text) {
  if (!is_terminal() || (text.empty() && status_.empty())) { return; }
  status_ = printable(text);
  if (catch_up()) { try_write(kClearLine + status_); }
}

void StderrLog::write_line(std::string_view line) {
  const bool over_status = !status_.empty();
  const std::string with_status =
      over_status ? fmt::format("{}{}{}", kClearLine, line, status_) : std::string();
  if (catch_up() && try_write(over_status ? with_status : line)) { return; }
  if (dropped_++ == 0 && on_drop_) { on_drop_(); }
}

bool StderrLog::catch_up() {
  if (dropped_ == 0) { return true; }
  const std::string line = fmt::format(
      "{}{} {} dropped: cannot write to standard error: {}\n",
      prefix_.of_line(Severity::error, WallClock::now()), dropped_,
      dropped_ == 1 ? "line was" : "lines were",
      error_ == EAGAIN ? std::string("its reader did not keep up") : error_text(error_));
  if (!try_write(line)) { return false; }
  dropped_ = 0;
  return true;
}

/// A line of ordinary length is one write(2), so that lines of several processes do not mix.
bool StderrLog::try_write(std::string_view bytes) {
  const std::string after_a_cut = cut_ ? fmt::format("\n{}", bytes) : std::string();
  if (cut_) { bytes = after_a_cut; }
  const int number = nonblocking_.valid() ? nonblocking_.get() : number_;
  bool begun = false;
  while (!bytes.empty()) {
    pollfd writable{number, POLLOUT, 0};
    if (retry([&] { return poll(&writable, 1, waits_ ? -1 : 0); }) == 0) {
      error_ = EAGAIN;
      break;
    }
    // After POLLOUT a pipe has room for PIPE_BUF bytes (pipe(7)).
    const bool can_block = !waits_ && !nonblocking_.valid();
    const std::string_view piece = can_block ? bytes.substr(0, PIPE_BUF) : bytes;
    const ssize_t size = retry([&] { return ::write(number, piece.data(), piece.size()); });
    if (size < 0 && errno == EAGAIN && waits_) { continue; }
    if (size <= 0) {
      error_ = size < 0 ? errno : EIO;
      break;
    }
    begun = true;
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  if (begun) { cut_ = !bytes.empty(); }
  return bytes.empty();
}

DropNotice::DropNotice(Reactor& reactor, StderrLog& log) : Timer(reactor), log_(log) {
  log_.on_drop([this] { try_soon(); });
  if (!log_.catch_up()) { try_soon(); }
}

void DropNotice::try_soon() {
  set(Clock::now() + kCatchUpPause);
}

void DropNotice::on_timer() {
  if (!log_.catch_up()) { try_soon(); }
}

Report report_to(StderrLog& log) {
  return [&log](Severity severity, std::string_view text) {
    switch (severity) {
      case Severity::error: return log.error(text);
      case Severity::info: return log.info(text);
      case Severity::detail: return log.detail(text);
    }
  };
}

}  // namespace handoff
