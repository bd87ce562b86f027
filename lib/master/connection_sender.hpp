// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "master/held_connection.hpp"
#include "master/kept_connections.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"

namespace handoff {

/// What a master and a worker exchange on a channel; see handoff-wire(7), THE CHANNEL.
enum class Handshake {
  full,  ///< typed messages on SOCK_SEQPACKET
  none,  ///< one byte and one descriptor for each connection on SOCK_STREAM; nothing comes back
};

/// Sends connections to one worker, several in a message, and then the messages that wait. The
/// containers are the state of a connection: it is unsent, then unacknowledged until the worker has
/// said STARTED or REFUSED, or kept, if its number says so. Without a handshake a connection is
/// closed here when it was sent.
///
/// Never blocks.
class ConnectionSender {
 public:
  /// Called when a message cannot be sent for a reason of this system (`error` is an errno). That
  /// has cost `connections` connections, which are closed now, or if there are none, the channel.
  /// It may call everything but send().
  using Failed = std::function<void(std::size_t connections, int error)>;

  /// The caller keeps the socket, which must stay open.
  ConnectionSender(int channel, Handshake handshake, Failed failed);

  /// Called when the worker has a ledger: connections with a number of `kept` are kept there when
  /// they were sent. It must outlive this object.
  void keep_copies(KeptConnections& kept) { kept_ = &kept; }

  /// How an attempt to send everything ended.
  enum class Outcome {
    all_sent,
    blocked,  ///< the channel is full, or too many descriptors are in flight
    closed,   ///< the worker takes nothing more
  };
  /// Sends as many messages as possible, and returns why it has stopped.
  Outcome send();

  /// Takes over a connection to send, under this number.
  void add(HeldConnection held, std::uint64_t id);
  /// Takes over a message, to be sent after all connections that are unsent by then.
  void add(std::string message, std::vector<Fd> descriptors = {});
  /// Drops messages with descriptors that were not sent yet, because others take their place.
  void drop_descriptors();

  /// These return how many connections and messages are in each state.
  std::size_t unsent() const { return unsent_.size(); }
  std::size_t unacknowledged() const { return unacknowledged_.size(); }
  std::size_t messages() const { return messages_.size(); }
  /// Returns how many connections were ever sent.
  std::uint64_t sent() const { return sent_; }

  /// Removes and returns the unacknowledged connection of this number.
  std::optional<HeldConnection> take(std::uint64_t id);
  /// Removes and returns the unsent connections.
  std::deque<HeldConnection> take_unsent();
  /// Removes and returns all connections that are not acknowledged: first the sent, then the unsent
  /// ones.
  std::deque<HeldConnection> take_all();

  /// Sends one connection in a message from now on, because the worker lacks descriptors.
  void slow_down() { most_per_message_ = 1; }
  /// Sends twice as many in a message, up to a full one, because the worker had enough descriptors
  /// for the last message.
  void speed_up();

 private:
  Outcome send_connections();
  bool is_kept(const Connection& connection) const;
  void ask_for_started(Connection& connection) const;
  std::deque<HeldConnection> number_anew(std::deque<HeldConnection> unsent) const;
  Outcome send_messages();
  /// Closes the first unsent connection, which cannot be sent.
  void drop_first(int error);

  int channel_;
  Handshake handshake_;
  Failed failed_;
  KeptConnections* kept_ = nullptr;  ///< null without a ledger
  std::deque<HeldConnection> unsent_;
  std::deque<HeldConnection> unacknowledged_;  ///< in the order in which they were sent
  struct Outgoing {
    std::string bytes;
    std::vector<Fd> descriptors;
  };
  std::deque<Outgoing> messages_;
  std::size_t most_per_message_ = channel::kMaxEntries;
  std::uint64_t sent_ = 0;
};

}  // namespace handoff
