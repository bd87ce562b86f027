// SPDX-License-Identifier: MIT
#include "commands/progress.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "os/log.hpp"

namespace handoff {
namespace {

constexpr Duration kPauseOnTerminal = std::chrono::seconds(1);
constexpr Duration kPauseElsewhere = std::chrono::seconds(10);

/// Returns the offset in stdin at which the next byte is read; -1 if stdin is not a regular file.
std::int64_t position_in_stdin() {
  struct stat file {};
  const bool is_file = fstat(STDIN_FILENO, &file) == 0 && S_ISREG(file.st_mode);
  return is_file ? lseek(STDIN_FILENO, 0, SEEK_CUR) : -1;
}

InputShare share_of_stdin(std::int64_t first) {
  struct stat file {};
  const std::int64_t now = position_in_stdin();
  if (first < 0 || now < first || fstat(STDIN_FILENO, &file) != 0) { return {}; }
  return {static_cast<std::uint64_t>(now - first),
          static_cast<std::uint64_t>(std::max<std::int64_t>(file.st_size, now) - first)};
}

}  // namespace

std::string describe_progress(const LineCounts& counts, const InputShare& input, Duration elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  const double rate = seconds > 0 ? static_cast<double>(counts.answered) / seconds : 0;
  std::string text = fmt::format("{}, {:.0f}/s, {}", counted(counts.answered, "line"), rate,
                                 counted(counts.errors, "error"));
  if (input.size == 0) { return text; }
  const double share = static_cast<double>(input.read) / static_cast<double>(input.size);
  text += fmt::format(", {:.0f}% read", 100 * share);
  // Some lines that were read are not answered yet: in a short file too many to estimate the time.
  if (share > 0 && share < 1 && seconds >= 1) {
    text += fmt::format(", {:.0f}s left", seconds * (1 - share) / share);
  }
  return text;
}

Progress::Progress(Reactor& reactor, StderrLog& log, Count count)
    : Timer(reactor),
      log_(log),
      count_(std::move(count)),
      begun_(Clock::now()),
      first_(position_in_stdin()) {}

void Progress::start() {
  started_ = true;
  set(Clock::now() + (log_.is_terminal() ? kPauseOnTerminal : kPauseElsewhere));
}

void Progress::finish() {
  cancel();
  if (!std::exchange(started_, false)) { return; }
  log_.set_status("");
  show_once();
}

std::string Progress::describe() const {
  return describe_progress(count_(), share_of_stdin(first_), Clock::now() - begun_);
}

void Progress::on_timer() {
  if (log_.is_terminal()) {
    log_.set_status(describe());
  } else {
    show_once();
  }
  start();
}

}  // namespace handoff
