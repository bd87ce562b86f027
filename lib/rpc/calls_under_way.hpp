// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "async/linked_list.hpp"
#include "async/race.hpp"
#include "rpc/reply_order.hpp"
#include "rpc/session_call.hpp"

namespace handoff {

/// The calls of one connection that have not ended. A connection without such calls has none of
/// this.
struct CallsUnderWay {
  /// The replies that leave in the order of their requests.
  ReplyOrder order;
  /// The calls that were started: they are executed, or wait for a place among all running calls of
  /// the server.
  LinkedList<SessionCall> running;
  LinkedList<SessionCall> next;   ///< the calls that wait until fewer of the connection's calls run
  std::size_t without_place = 0;  ///< how many of `running` wait for a place
  std::size_t held = 0;  ///< the number of bytes that requests and the replies of batches take
  /// Cancelled when the client has left: it ends the handlers that the server supervises.
  Cancellation client_left;

  /// Returns the number of calls that run or wait.
  std::size_t count() const { return running.size() + next.size(); }
  /// Returns the number of calls that are executed now.
  std::size_t executing() const { return running.size() - without_place; }
};

}  // namespace handoff
