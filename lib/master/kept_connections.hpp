// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "master/custody.hpp"
#include "master/held_connection.hpp"
#include "os/fd.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// What may be done with the connections of a worker that gets nothing more.
enum class Reach {
  dead,       ///< the worker has died: its ledger decides
  untouched,  ///< it has died, and nothing is served any more but what nobody has begun
  on_its_way  ///< it lives on, and keeps what it has taken
};

/// How many connections of a worker that gets nothing more go to others, or not.
struct RescueCounts {
  std::size_t moved = 0;     ///< to another worker, and the client notices nothing
  std::size_t answered = 0;  ///< the same with an error reply, for a call that was interrupted
  std::size_t closed = 0;    ///< those that the worker had begun and not ended itself
  std::size_t left = 0;      ///< those that a worker that lives on keeps
};

/// What became of the connections of a worker that gets nothing more.
struct Rescued {
  std::deque<HeldConnection> connections;  ///< they go to other workers
  RescueCounts counts;
};

/// The connections that a master has passed to one worker and keeps a copy of, beside the ledger in
/// which the worker records them. Each has an entry there; its number says which, and is valid
/// until the connection is given out again here or has ended.
///
/// A worker may say and write anything; what is false harms only its own connections.
class KeptConnections {
 public:
  KeptConnections(ledger::Ledger ledger, std::shared_ptr<Custody> custody);
  KeptConnections(const KeptConnections&) = delete;
  KeptConnections& operator=(const KeptConnections&) = delete;
  ~KeptConnections();

  const ledger::Ledger& ledger() const { return ledger_; }

  /// Gives a connection that is to be passed an entry, and its number. Nothing, when a copy cannot
  /// be kept: near the descriptor limit, or because all entries are used.
  std::optional<std::uint64_t> reserve(const Connection& connection);
  /// It is not passed after all: what reserve() gave is void.
  void cancel(std::uint64_t id);
  /// It is sent: the copy of it is kept from now on.
  void sent(HeldConnection held);

  /// Connections that were passed, and of which there is a copy.
  std::size_t count() const { return count_; }
  /// Those that the worker has accepted and deposited.
  std::size_t deposits() const { return deposits_; }
  /// Those that are not known to have been taken by the worker.
  std::size_t unconfirmed();
  /// Whether bytes or a reply come along that are the master's until the worker has touched the
  /// connection: it has to hear of that.
  static bool has_luggage(const Connection& connection);

  /// Once the worker has touched a connection, what came along with it is the worker's, and is let
  /// go here. STARTED may come before that.
  void drop_touched_luggage();

  /// What the worker says of a connection; false when it does not have that.
  bool started(std::uint64_t id);
  bool finished(std::uint64_t id);
  /// It came back, and there is no descriptor for the bytes that it brings along: it is closed.
  bool lost(std::uint64_t id);
  /// Makes the connection that came back whole: its socket is ours.
  bool returned(Connection& connection, Custody::Hold& hold);
  /// The worker has no descriptor for it, and has not taken it.
  std::optional<HeldConnection> refused(std::uint64_t id);
  /// Returns whether this was the number of a connection that is not the worker's any more. The
  /// worker may not have seen yet that the connection was taken back.
  bool had(std::uint64_t id) const;

  /// The worker keeps a connection that it has accepted itself, and gives the master a copy of its
  /// socket. False when that is not kept: there is no room for it, or no such entry.
  bool deposited(Connection connection);
  /// A connection that the worker has accepted itself has ended or come back: there need not be a
  /// copy of it.
  void own_ended(std::uint64_t id);

  /// Takes back those that the worker has not taken. It lives on, and finds that they are gone.
  std::deque<HeldConnection> take_untaken();
  /// Takes all of them from the worker. Nothing is kept for it afterwards.
  Rescued take_all(Reach reach);

 private:
  struct Slot {
    Fd socket;  ///< invalid: the slot is free, or its connection was not sent yet
    std::uint16_t generation = 0;
    std::uint8_t deaths = 0;  ///< of workers that had received it and did not touch it
  };
  /// Which a worker that dies before it touches its connection leaves to the master.
  struct Luggage {
    std::string unread;
    Fd spilled;
    std::size_t spilled_size = 0;
    std::string owed;
    Custody::Hold hold;
  };

  Slot& slot(std::uint32_t index);
  Slot* find(std::uint64_t id);
  Slot* find_deposit(std::uint64_t id);
  void release(std::uint32_t index);
  void drop_deposit(Slot& slot);
  void take_one(std::uint32_t index, Reach reach, Rescued& rescued);
  void judge(std::uint32_t index, Reach reach, Rescued& rescued);
  HeldConnection take(std::uint32_t index, const ledger::Snapshot& entry);

  ledger::Ledger ledger_;
  std::shared_ptr<Custody> custody_;
  std::vector<Slot> slots_;          ///< by index, as far as they were ever used
  std::vector<std::uint32_t> free_;  ///< of slots_; the one that was used last comes first
  std::vector<Slot> deposited_;      ///< those of the entries after shape().passed
  std::unordered_map<std::uint32_t, Luggage> luggage_;
  std::size_t started_since_look_ = 0;     ///< at the luggage
  std::deque<std::uint64_t> unconfirmed_;  ///< in the order in which they were sent
  std::size_t reserved_ = 0;               ///< connections that have a number and were not sent yet
  std::size_t count_ = 0;
  std::size_t deposits_ = 0;
};

}  // namespace handoff
