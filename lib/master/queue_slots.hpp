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

/// The place of a request in a queue. A slot is always in one list: of the free slots, of those
/// whose requests wait, or of those that a worker was given.
struct QueueSlot : ListNode<> {
  PendingCall* call = nullptr;    ///< null while the slot is free
  QueueWorker* worker = nullptr;  ///< null while the request waits
  std::uint64_t end = 0;          ///< the position after its record in the worker's ring
  std::uint32_t generation = 0;   ///< the number of tickets that the slot has had
  MethodTimes::Index method = 0;
  std::uint64_t order = 0;  ///< smaller for requests that arrived earlier
  int attempts = 0;         ///< the number of workers that died while they executed it
};

/// The table of a queue's requests. A ticket identifies a slot, and which of the slot's tickets it
/// is: the ticket of a request that has left the queue finds nothing.
class QueueSlots {
 public:
  explicit QueueSlots(std::size_t size);
  QueueSlots(const QueueSlots&) = delete;
  QueueSlots& operator=(const QueueSlots&) = delete;
  /// Every slot must be free, or in no list.
  ~QueueSlots();

  std::size_t used() const { return slots_.size() - free_.size(); }
  bool are_full() const { return free_.empty(); }
  /// Takes a free slot out of its list, and gives the call its ticket. A slot must be free.
  QueueSlot& take(PendingCall& call);
  /// Frees a slot that is in no list. Its ticket is old from now on.
  void free(QueueSlot& slot);
  /// Gives the call another ticket. Replies with the earlier ones are late.
  void renew_ticket(QueueSlot& slot);
  /// Returns the slot of a ticket, or null if the ticket is old or was never given.
  QueueSlot* find(std::uint64_t ticket);

 private:
  std::vector<QueueSlot> slots_;
  LinkedList<QueueSlot> free_;
};

}  // namespace handoff
