// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "async/linked_list.hpp"
#include "async/race.hpp"
#include "rpc/reply_order.hpp"
#include "rpc/session_call.hpp"

namespace handoff {

/// The calls of one connection that did not finish at once. Only there while there are some.
struct CallsUnderWay {
  ReplyOrder order;
  LinkedList<SessionCall> running;
  LinkedList<SessionCall> next;   ///< that wait for those that run
  std::size_t without_place = 0;  ///< of those that run, waiting for a place among all that do
  std::size_t held = 0;           ///< bytes of requests and of batches
  Cancellation client_left;

  std::size_t count() const { return running.size() + next.size(); }
  std::size_t executing() const { return running.size() - without_place; }
};

}  // namespace handoff
