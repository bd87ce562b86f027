// SPDX-License-Identifier: MIT
#include "commands/senders.hpp"

#include <algorithm>
#include <utility>

namespace handoff {

Task<void> Senders::room() {
  while (senders_.size() >= most_) { co_await changed_.wait(dismiss_quiet()); }
}

/// Dismisses the sender that has been quiet for longest, if that is at least `patience`. Returns
/// when the next sender will have been quiet for that long.
TimePoint Senders::dismiss_quiet() {
  Sender* quietest = nullptr;
  for (Sender& sender : senders_) {
    if (sender.dismissed) {
      return kNever;  // it will leave
    }
    if (sender.quiet_since == kNever) { continue; }
    if (quietest == nullptr || sender.quiet_since < quietest->quiet_since) { quietest = &sender; }
  }
  if (quietest == nullptr) { return kNever; }
  const TimePoint due = quietest->quiet_since + patience_;
  if (due > Clock::now()) { return due; }
  quietest->dismissed = true;
  quietest->watcher.interrupt();
  return kNever;
}

Sender& Senders::add(Fd connection, Sender::Origin origin) {
  Sender& sender = senders_.emplace_back(reactor_, std::move(connection), origin);
  begin_message(sender);
  return sender;
}

void Senders::remove(const Sender& sender) {
  senders_.remove_if([&](const Sender& other) { return &other == &sender; });
  changed_.notify_all();
}

void Senders::begin_message(Sender& sender) const {
  sender.quiet_since = kNever;
  sender.dismissed = false;
  if (sender.origin == Sender::Origin::given) { return; }
  sender.deadline = std::min(sender.deadline, deadline_after(Clock::now(), patience_));
}

void Senders::end_message(Sender& sender) {
  sender.deadline = kNever;
  sender.quiet_since = Clock::now();
  changed_.notify_all();
}

}  // namespace handoff
