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

#include <handoff/os/fd.hpp>

#include "master/custody.hpp"
#include "master/held_connection.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"
#include "rpc/client_address.hpp"

namespace handoff {

/// What may be done with the connections of a worker that gets nothing more.
enum class Reach {
  dead,       ///< the worker has died, and its ledger decides
  untouched,  ///< the worker has died, and only connections that it had not begun are served
              ///< elsewhere
  on_its_way  ///< the worker lives on, and keeps the connections that it has taken
};

/// Counts the connections of a worker that gets nothing more by what becomes of them.
struct RescueCounts {
  std::size_t moved = 0;  ///< they go to another worker, and the client notices nothing
  std::size_t answered =
      0;  ///< they go to another worker, after an error reply for the interrupted call
  std::size_t closed = 0;  ///< the worker had begun them and not ended them itself
  std::size_t left = 0;    ///< a worker that lives on keeps them
};

/// What became of the connections of a worker that gets nothing more.
struct Rescued {
  std::deque<HeldConnection> connections;  ///< those that go to other workers
  RescueCounts counts;
};

/// The connections that a master has passed to one worker and keeps a copy of, together with the
/// ledger in which the worker records them. Each has an entry there; its number contains the
/// entry's index, and is valid until the entry is used again or the connection has ended.
///
/// A worker may say and write anything; if that is false, it harms only its own connections.
class KeptConnections {
 public:
  /// Takes over the ledger, which the worker has mapped too.
  KeptConnections(ledger::Ledger ledger, std::shared_ptr<Custody> custody);
  KeptConnections(const KeptConnections&) = delete;
  KeptConnections& operator=(const KeptConnections&) = delete;
  ~KeptConnections();

  const ledger::Ledger& ledger() const { return ledger_; }

  /// Reserves an entry for a connection that is to be passed, and returns the connection's number;
  /// nothing if no copy can be kept, near the descriptor limit or because all entries are used.
  /// sent() or cancel() follows.
  std::optional<std::uint64_t> reserve(const Connection& connection);
  /// Frees what reserve() has reserved, because the connection is not passed to this worker.
  void cancel(std::uint64_t id);
  /// Keeps a connection that was sent, from now on.
  void sent(HeldConnection held);

  /// Returns the number of connections that were passed and of which a copy is kept.
  std::size_t count() const { return count_; }
  /// Returns the number of connections that the worker has accepted itself and deposited.
  std::size_t deposits() const { return deposits_; }
  /// Returns the number of connections that the worker may not have taken yet.
  std::size_t unconfirmed();
  /// Returns whether the connection carries bytes or a reply that stay the master's until the
  /// worker has touched the connection: the master must learn of that.
  static bool has_luggage(const Connection& connection);

  /// Drops what a connection carries if the worker has touched the connection: that is the worker's
  /// then. STARTED may come before that.
  void drop_touched_luggage();

  /// These record what the worker says of a connection, and return false if the worker does not
  /// have it.
  bool started(std::uint64_t id);
  bool finished(std::uint64_t id);
  /// Closes a connection that has come back, because there was no descriptor for the bytes that it
  /// brings along. Returns false if the worker did not have it.
  bool lost(std::uint64_t id);
  /// Completes a connection that has come back with the socket that was kept here, and counts it in
  /// `hold`. Returns false if the worker did not have it.
  bool returned(Connection& connection, Custody::Hold& hold);
  /// Takes back a connection for which the worker has no descriptor; nothing if the worker has
  /// taken it.
  std::optional<HeldConnection> refused(std::uint64_t id);
  /// Returns whether this was the number of a connection that is not the worker's any more. The
  /// worker may not have noticed yet that the connection was taken back.
  bool had(std::uint64_t id) const;

  /// Keeps a copy of the socket of a connection that the worker has accepted itself. Returns false
  /// if it is not kept: there is no room for it, or no such entry.
  bool deposited(Connection connection);
  /// Drops the copy of a connection that the worker has accepted itself, because it has ended or
  /// come back.
  void own_ended(std::uint64_t id);

  /// Takes back the connections that the worker has not taken. The worker lives on, and finds that
  /// they are gone.
  std::deque<HeldConnection> take_untaken();
  /// Takes all connections from the worker, as far as `reach` allows. Nothing is kept for it
  /// afterwards.
  Rescued take_all(Reach reach);

 private:
  struct Slot {
    Fd socket;  ///< invalid if the slot is free, or its connection was not sent yet
    std::uint16_t generation = 0;
    std::uint8_t deaths =
        0;  ///< how many workers have died that had received it and not touched it
    /// The client, which behind a proxy is not the peer of the socket; not known if its worker has
    /// accepted it and did not say.
    ClientAddress client{SocketAddress()};
  };
  /// What a connection carries, which the master gets back if the worker dies before it touches the
  /// connection.
  struct Luggage {
    std::string unread;
    Fd spilled;
    std::size_t spilled_size = 0;
    std::string owed;
    Custody::Hold hold;
  };

  Slot& slot(std::uint32_t index);
  /// These return the slot of a connection that is kept, or null.
  Slot* find(std::uint64_t id);
  Slot* find_deposit(std::uint64_t id);
  /// Closes the copy, and frees the entry.
  void release(std::uint32_t index);
  void drop_deposit(Slot& slot);
  /// Takes the socket and the client's address out of the slot.
  static void take_socket(Slot& slot, Connection& connection);
  void take_one(std::uint32_t index, Reach reach, Rescued& rescued);
  void judge(std::uint32_t index, Reach reach, Rescued& rescued);
  /// Returns the connection of the slot as its entry describes it.
  HeldConnection take(std::uint32_t index, const ledger::Snapshot& entry);

  ledger::Ledger ledger_;
  std::shared_ptr<Custody> custody_;
  std::vector<Slot> slots_;  ///< by index, up to the highest that was ever used
  std::vector<std::uint32_t>
      free_;                     ///< free indices of slots_; the one that was used last comes first
  std::vector<Slot> deposited_;  ///< the slots of the entries after shape().passed
  std::unordered_map<std::uint32_t, Luggage> luggage_;
  std::size_t started_since_look_ = 0;     ///< since drop_touched_luggage()
  std::deque<std::uint64_t> unconfirmed_;  ///< in the order in which they were sent
  std::size_t reserved_ = 0;               ///< connections that have a number and are not yet sent
  std::size_t count_ = 0;
  std::size_t deposits_ = 0;
};

}  // namespace handoff
