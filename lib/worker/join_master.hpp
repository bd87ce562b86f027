// SPDX-License-Identifier: MIT
#pragma once

#include "async/limited_line.hpp"
#include "async/race.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/time_limit.hpp"
#include "os/address.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"

namespace handoff {

/// Joins the master that has a named socket, and the one that follows. The channels that it gives
/// are of the master's type: SOCK_SEQPACKET, or SOCK_STREAM for the plain form, in which a refusal
/// can't be told from an end.
class JoinMaster {
 public:
  /// What a master did with the channel before.
  enum class Before {
    served,   ///< it has shown itself a master
    refused,  ///< it has closed the channel without a word
  };

  /// Waits for a master for `wait`, at first and later; with 0 one has to be there. A master whose
  /// user `judge` refuses is none.
  JoinMaster(Reactor& reactor, Address address, Duration wait, PeerJudge judge,
             const Report& report);
  JoinMaster(const JoinMaster&) = delete;
  JoinMaster& operator=(const JoinMaster&) = delete;

  /// Connects to a master; gives no descriptor after cancel(). Throws Unreachable when there is
  /// none in time, or its user is refused: it would run what its clients ask for with this
  /// process's rights.
  Task<Fd> join();
  /// Connects to the master that follows, after a pause if the one before has refused the channel.
  /// In the plain form, where the channel ends in the same way when the master stops, it gives no
  /// descriptor when there is none. Throws Unreachable as join() does, and when a master has
  /// refused twice in a row.
  Task<Fd> join_again(Before before);
  /// The master of the channel has shown itself one: until then it can be any program.
  void confirm();
  /// Ends the wait, for good.
  void cancel() { cancellation_.cancel(); }

 private:
  Task<Fd> connect(TimeLimit limit);
  Task<Fd> wait_for_master();
  Task<Fd> find_successor();
  Fd admit(Fd channel);

  Reactor& reactor_;
  Address address_;
  Duration wait_;
  PeerJudge judge_;
  Report report_;
  LimitedLine report_joined_;
  Cancellation cancellation_;
  bool is_full_ = false;  ///< the channel has messages
  int refusals_ = 0;      ///< in a row
};

}  // namespace handoff
