// SPDX-License-Identifier: MIT
#include "worker/connection_returner.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// Returns whether another attempt would fail too: memfd_create(2) is refused, or the bytes exceed
/// the limit of file sizes (RLIMIT_FSIZE).
bool is_permanent(int error_number) {
  return is_refused(error_number) || error_number == EFBIG;
}

}  // namespace

ConnectionReturner::Outcome ConnectionReturner::send() {
  while (!waiting_.empty()) {
    if (awaits_reader()) { return Outcome::unread; }
    const channel::PackedConnections packed = pack();
    if (packed.count() == 0) { return waiting_.empty() ? Outcome::all_sent : Outcome::blocked; }
    const SendResult result = owner_.send(packed.bytes(), packed.descriptors());
    if (result.outcome == SendOutcome::would_block) { return Outcome::blocked; }
    if (result.outcome == SendOutcome::failed) {
      // One connection may be the reason, so each is tried by itself.
      if (std::exchange(most_per_message_, 1) > 1) { continue; }
      const Connection first = std::move(waiting_.front());
      waiting_.pop_front();
      owner_.not_sent(first, result.error_number);
      continue;
    }
    in_flight_ = result.outcome == SendOutcome::sent && !packed.descriptors().empty();
    most_per_message_ = channel::kMaxEntries;
    waiting_.erase(waiting_.begin(),
                   waiting_.begin() + static_cast<std::ptrdiff_t>(packed.count()));
  }
  return Outcome::all_sent;
}

bool ConnectionReturner::awaits_reader() {
  if (in_flight_ && owner_.has_been_read()) { in_flight_ = false; }
  return in_flight_;
}

/// Packs as many connections as can be sent: long bytes need a memfd each, and so a descriptor. A
/// connection whose bytes can never be put into one is dropped, so that it does not hold up the
/// others.
channel::PackedConnections ConnectionReturner::pack() {
  channel::PackedConnections packed(type_);
  while (packed.count() < std::min(waiting_.size(), most_per_message_)) {
    Connection& next = waiting_[packed.count()];
    try {
      next.spill_to_memfd();
      if (!packed.add(next)) { break; }
    } catch (const SystemError& error) {
      if (!is_permanent(error.error_number())) { break; }
      const Connection dropped = std::move(next);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(packed.count()));
      owner_.not_spilled(dropped, error.error_number());
    }
  }
  return packed;
}

}  // namespace handoff
