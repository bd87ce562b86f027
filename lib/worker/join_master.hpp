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

/// Connects a worker to the master that has a named socket, and to its successors. The channels
/// that it returns are of the master's type: SOCK_SEQPACKET, or SOCK_STREAM for the plain form, in
/// which a refusal cannot be told from an end.
class JoinMaster {
 public:
  /// What a master has done with the channel before.
  enum class Before {
    served,   ///< the other end has proved to be a master
    refused,  ///< the other end has closed the channel without a message
  };

  /// Waits for a master for up to `wait`, at first and later; with 0 one must be there. A master
  /// whose user `judge` refuses is not joined. The reactor must outlive this object.
  JoinMaster(Reactor& reactor, Address address, Duration wait, PeerJudge judge,
             const Report& report);
  JoinMaster(const JoinMaster&) = delete;
  JoinMaster& operator=(const JoinMaster&) = delete;

  /// Connects to a master, and returns the channel, which the caller then owns; an invalid one
  /// after cancel(). Throws Unreachable if there is no master in time, or if its user is refused:
  /// it would run what its clients ask for with this process's rights. Throws TimedOut or
  /// SystemError as Attempts::run() does. This object must outlive the task.
  Task<Fd> join();
  /// Connects to the next master, after a pause if the one before has refused the channel. In the
  /// plain form, where the channel ends in the same way when the master stops, it returns an
  /// invalid descriptor if there is no master. Throws what join() throws, and Unreachable if
  /// masters have refused twice in a row.
  Task<Fd> join_again(Before before);
  /// Call this when the other end has proved to be a master; until then it can be any program.
  void confirm();
  /// Ends the wait of join() and join_again(), and of all later ones.
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
  bool is_full_ = false;  ///< the channel has the full form, with messages
  int refusals_ = 0;      ///< refusals in a row
};

}  // namespace handoff
