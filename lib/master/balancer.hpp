// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "master/held_connection.hpp"
#include "master/kept_connections.hpp"

namespace handoff {

/// How the worker is chosen that gets a connection.
enum class Balance {
  round_robin,  ///< each worker in turn
  least,  ///< the worker with the fewest connections; among equals the one with the fewest calls
  hash,   ///< always the same number for a client's address, even after that worker was replaced
};

/// What happens to all workers, for good.
enum class Retirement {
  none,
  handing_over,  ///< the connections that they return go to a successor of this master
  closing,       ///< they close their connections
};

/// Says which workers get the connections of a worker that is gone.
enum class Heir {
  any,
  same_number,  ///< with Balance::hash, the next worker of the same number, as soon as it is there
};

/// How a worker has gone.
struct Departure {
  Reach reach = Reach::dead;
  Heir heir = Heir::any;
};

/// A worker, as a balancer sees it.
class Recipient {
 public:
  /// Returns whether it may be given one more connection.
  virtual bool has_room() const = 0;
  /// Returns the number of connections that it has been given and has not finished.
  virtual std::size_t assigned() const = 0;
  /// Returns the number of calls that are under way on these connections; 0 if that is not known.
  /// No event reports a change.
  virtual std::uint64_t active_calls() const = 0;
  /// Returns the number that hashing uses.
  virtual int number() const = 0;
  /// Takes over a connection, and queues it.
  virtual void pass(HeldConnection held) = 0;
  /// Sends the queued connections. Does not block.
  virtual void flush() = 0;
  /// Returns the connections that were queued and not sent.
  virtual std::deque<HeldConnection> take_unsent() = 0;
  /// Returns the connections that other workers can serve, sent or not; the recipient gets nothing
  /// more.
  virtual std::deque<HeldConnection> take_all(Reach reach) = 0;

 protected:
  ~Recipient() = default;
};

/// Decides which worker gets a connection, and keeps connections that no worker has room for, in
/// their order. Connections are sent before the call returns; only pass() waits for flush(), so
/// that several connections leave in one message.
///
/// The cost of one connection does not grow with the number of recipients or of waiting
/// connections: recipients with room are kept in the order in which they are chosen, those with
/// something to send in a list. (Hashing looks at all recipients with room for each connection; and
/// `least`, when calls are under way on the first one, at those with as few connections.) For this
/// it must be told when a recipient's room or load has changed by itself.
class Balancer {
 public:
  explicit Balancer(Balance how) : how_(how) {}
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;

  /// Adds a recipient, which gets connections from now on, those first that wait already. It must
  /// exist until remove() or take_back(). Does nothing if it was added already.
  void add(Recipient& recipient);
  /// Removes a recipient that gets nothing more; connections that it was not sent go to others.
  /// Does nothing if it is not there.
  void remove(Recipient& recipient);
  /// Removes a recipient that is gone, even if it was removed before, and passes the connections
  /// that others can serve to these.
  void take_back(Recipient& recipient, const Departure& how = {});
  /// Passes the connections that wait for the next worker of this number to any worker, because
  /// none will follow.
  void pass_what_waits_for(int number);
  /// Called when no worker follows another one any more.
  void retire(Retirement how);
  Retirement retirement() const { return retirement_; }
  /// Called when the recipient may have room again, or holds fewer connections. Passes waiting
  /// connections to it. Does nothing if it is not there.
  void room_changed(Recipient& recipient);

  /// Passes the connection to a recipient, or keeps it until one has room. flush() sends it.
  void pass(HeldConnection held);
  /// Sends the connections that pass() has given to recipients.
  void flush();
  /// Passes connections that have come back, and sends them.
  void pass_on(std::vector<HeldConnection> returned);
  /// Passes all waiting connections to the recipients in turn, whether they have room or not.
  void pass_all();

  /// Returns whether one more connection would be passed at once.
  bool has_room() const { return unassigned_.empty() && !ready_.empty(); }
  /// Returns the number of connections that no recipient has room for, or that wait for a worker of
  /// a certain number.
  std::size_t waiting() const;
  /// Returns how many of the connections without a recipient are not idle.
  std::size_t waiting_to_be_served() const;
  /// Returns whether there is no recipient at all.
  bool is_empty() const { return recipients_.empty(); }

 private:
  struct Candidate {
    Recipient* recipient;
    std::uint64_t turn;    ///< its place in the order: when it was last chosen, or was added
    std::size_t load = 0;  ///< its connections when it was put in order; 0 unless by `least`
    bool ready = false;    ///< whether it is in ready_
    bool unsent = false;   ///< whether it is in unsent_
  };
  struct InOrder {
    bool operator()(const Candidate* one, const Candidate* other) const {
      return one->load != other->load ? one->load < other->load : one->turn < other->turn;
    }
  };

  bool forget(const Recipient& recipient);
  bool has_number(int number) const;
  /// Passes the connections of a worker that is gone, and sends them.
  void pass_inherited(std::deque<HeldConnection> held);
  /// Returns a candidate that has room for the connection, or null.
  Candidate* choose(const HeldConnection& held);
  Candidate* by_hash(const HeldConnection& held);
  Candidate* least_busy() const;
  /// Passes the connection to the candidate, and moves that to its new place.
  void give(Candidate& candidate, HeldConnection&& held);
  void put_in_order(Candidate& candidate, std::uint64_t turn);
  /// Passes waiting connections as long as there is room.
  void give_waiting();

  Balance how_;
  std::unordered_map<const Recipient*, Candidate> candidates_;
  std::vector<Candidate*> recipients_;   ///< all of them, in the order of their coming
  std::set<Candidate*, InOrder> ready_;  ///< those with room
  std::vector<Candidate*> unsent_;       ///< those with something to send
  std::deque<HeldConnection> unassigned_;
  std::map<int, std::deque<HeldConnection>>
      inherited_;  ///< connections for the next worker of a number
  Retirement retirement_ = Retirement::none;
  std::uint64_t last_turn_ = 0;
  std::size_t next_ = 0;  ///< the index in recipients_ from which pass_all() goes on
};

}  // namespace handoff
