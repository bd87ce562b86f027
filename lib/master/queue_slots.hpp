// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "async/linked_list.hpp"
#include "master/method_times.hpp"
#include "rpc/pending_call.hpp"

namespace handoff {

class QueueWorker;

/// Where a queue keeps a request. It is always in one list: of those that are free, of those that
/// wait, or of those that its worker was given.
struct QueueSlot : ListNode<> {
  PendingCall* call = nullptr;    ///< none while it is free
  QueueWorker* worker = nullptr;  ///< none while it waits
  std::uint64_t end = 0;          ///< of its record in the worker's ring
  std::uint32_t generation = 0;   ///< how often it was used
  MethodTimes::Index method = 0;
  std::uint64_t order = 0;  ///< requests that came earlier have less
  int attempts = 0;         ///< by workers that died
};

/// The table of a queue's requests. A request's ticket is its place in the table, and how often
/// that place was used before: so the ticket of a request that has left the queue finds none.
class QueueSlots {
 public:
  explicit QueueSlots(std::size_t size);
  QueueSlots(const QueueSlots&) = delete;
  QueueSlots& operator=(const QueueSlots&) = delete;
  /// Those that wait must have left their list.
  ~QueueSlots();

  std::size_t used() const { return slots_.size() - free_.size(); }
  bool are_full() const { return free_.empty(); }
  /// Takes a free one, which is then in no list, and gives the call its ticket. One must be free.
  QueueSlot& take(PendingCall& call);
  /// Frees one that is in no list. A worker that still has its ticket has an old one.
  void free(QueueSlot& slot);
  /// Gives the call another ticket: replies to the earlier ones are late.
  void renew_ticket(QueueSlot& slot);
  /// Null when the ticket is old.
  QueueSlot* find(std::uint64_t ticket);

 private:
  std::vector<QueueSlot> slots_;
  LinkedList<QueueSlot> free_;
};

}  // namespace handoff
