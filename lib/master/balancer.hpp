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

/// Which worker gets a connection.
enum class Balance {
  round_robin,  ///< each in turn
  least,        ///< the one that holds the fewest; among equals the one with the fewest calls
  hash,         ///< always the same for a client's address, also after that one was replaced
};

/// What happens to all workers, for good.
enum class Retirement {
  none,
  handing_over,  ///< what they return goes to a successor of this master
  closing,       ///< they close what they have
};

/// Who gets the connections of a worker that is gone.
enum class Heir {
  any,
  same_number,  ///< by hashing, the worker that follows under its number, as soon as that is there
};

/// How a worker is gone.
struct Departure {
  Reach reach = Reach::dead;
  Heir heir = Heir::any;
};

/// What a balancer knows of a worker.
class Recipient {
 public:
  /// Whether it may be given one more connection.
  virtual bool has_room() const = 0;
  /// Connections that it has been given and has not finished.
  virtual std::size_t assigned() const = 0;
  /// Calls that are under way on them now; 0 if that is not known. No event tells of its change.
  virtual std::uint64_t active_calls() const = 0;
  /// By which hashing knows it.
  virtual int number() const = 0;
  /// Queues a connection for it.
  virtual void pass(HeldConnection held) = 0;
  /// Sends what was queued.
  virtual void flush() = 0;
  /// Gives back what was queued and not sent.
  virtual std::deque<HeldConnection> take_unsent() = 0;
  /// Gives back what others can serve, sent or not, now that it gets nothing more.
  virtual std::deque<HeldConnection> take_all(Reach reach) = 0;

 protected:
  ~Recipient() = default;
};

/// Decides who gets a connection, and keeps those that no recipient has room for, in their order.
/// What it gives is sent before the call returns; only what pass() gives waits for flush(), so that
/// several connections leave in one message.
///
/// Nothing that it does for one connection grows with the number of recipients or of connections
/// that wait: those with room are kept in the order in which they are chosen, those with something
/// to send in a list. (Only hashing looks at all that have room, for each connection that it
/// gives; and `least`, when calls are under way on the first, at those that hold as few.) For this
/// it has to be told when a recipient's room or load has changed by itself.
class Balancer {
 public:
  explicit Balancer(Balance how) : how_(how) {}
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;

  /// From now on it gets connections, those first that wait already. It must live until remove() or
  /// take_back(). Does nothing when it is there already.
  void add(Recipient& recipient);
  /// It gets nothing more; what it was not sent goes to others. Does nothing when it is not there.
  void remove(Recipient& recipient);
  /// It is gone, and gets nothing more; what others can serve goes to them, also when it was
  /// removed before.
  void take_back(Recipient& recipient, const Departure& how = {});
  /// What waits for the worker that follows under this number goes to any: none will follow.
  void pass_what_waits_for(int number);
  /// From now on no worker follows one that is gone.
  void retire(Retirement how);
  Retirement retirement() const { return retirement_; }
  /// It may have room again, or holds fewer. Gives it what waits. Does nothing when it is not
  /// there.
  void room_changed(Recipient& recipient);

  /// Gives the connection to a recipient, or keeps it until one has room. flush() sends it.
  void pass(HeldConnection held);
  /// Sends what pass() has given.
  void flush();
  /// Passes connections that have come back.
  void pass_on(std::vector<HeldConnection> returned);
  /// Gives all that wait to the recipients in turn, room or not.
  void pass_all();

  /// Whether one more connection would be given at once.
  bool has_room() const { return unassigned_.empty() && !ready_.empty(); }
  /// Connections that no recipient has room for, or that wait for a worker of some number.
  std::size_t waiting() const;
  /// Counts those of them that are not idle.
  std::size_t waiting_to_be_served() const;
  /// Whether there is no recipient at all.
  bool is_empty() const { return recipients_.empty(); }

 private:
  struct Candidate {
    Recipient* recipient;
    std::uint64_t turn;    ///< when it was last chosen, or came
    std::size_t load = 0;  ///< what it held when it was put in order; always 0 unless by `least`
    bool ready = false;    ///< in ready_
    bool unsent = false;   ///< in unsent_
  };
  struct InOrder {
    bool operator()(const Candidate* one, const Candidate* other) const {
      return one->load != other->load ? one->load < other->load : one->turn < other->turn;
    }
  };

  bool forget(const Recipient& recipient);
  bool has_number(int number) const;
  void pass_inherited(std::deque<HeldConnection> held);
  Candidate* choose(const HeldConnection& held);
  Candidate* by_hash(const HeldConnection& held);
  Candidate* least_busy() const;
  void give(Candidate& candidate, HeldConnection&& held);
  void put_in_order(Candidate& candidate, std::uint64_t turn);
  void give_waiting();

  Balance how_;
  std::unordered_map<const Recipient*, Candidate> candidates_;
  std::vector<Candidate*> recipients_;   ///< all of them, as they came
  std::set<Candidate*, InOrder> ready_;  ///< those that have room
  std::vector<Candidate*> unsent_;       ///< those that have something to send
  std::deque<HeldConnection> unassigned_;
  std::map<int, std::deque<HeldConnection>> inherited_;  ///< by the number that their worker had
  Retirement retirement_ = Retirement::none;
  std::uint64_t last_turn_ = 0;
  std::size_t next_ = 0;  ///< of recipients_, for pass_all()
};

}  // namespace handoff
