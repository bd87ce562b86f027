// SPDX-License-Identifier: MIT
#include "cli/log_relay.hpp"

#include <fmt/format.h>

#include <utility>

namespace handoff {

LogRelay::LogRelay(Reactor& main, std::size_t threads, Report report) : report_(std::move(report)) {
  if (threads > 1) { mailbox_.emplace(main); }
}

LogRelay::~LogRelay() {
  write_waiting();
}

void LogRelay::run(const Write& write) {
  if (std::this_thread::get_id() == main_) { return write(); }
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) {
      ++dropped_;
      return;
    }
    waiting_.push_back(write);
    if (waiting_.size() > 1) { return; }  // the first has sent for the main thread
  }
  mailbox_->send([this] { write_waiting(); });
}

void LogRelay::write_waiting() {
  std::vector<Write> writes;
  std::size_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    writes.swap(waiting_);
    dropped = std::exchange(dropped_, 0);
  }
  for (const Write& write : writes) { write(); }
  if (dropped == 0) { return; }
  report_(Severity::error, fmt::format("{} {} dropped: the main thread did not keep up",
                                       counted(dropped, "line"), dropped == 1 ? "was" : "were"));
}

}  // namespace handoff
