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

/// What is spoken on a channel; see handoff-wire(7).
enum class Handshake {
  full,  ///< typed messages on SOCK_SEQPACKET
  none,  ///< one byte and one descriptor a connection on SOCK_STREAM; nothing comes back
};

/// Sends connections to one worker, several in a message, and then the messages that wait. The
/// containers say the state of a connection: it is unsent, then unacknowledged until the worker has
/// said STARTED or REFUSED, or kept, if its number says so. Without a handshake a connection is let
/// go once it was sent.
///
/// Never blocks.
class ConnectionSender {
 public:
  /// A message that can't be sent for a reason of this system, `error` as errno: it has cost so
  /// many connections, which are closed now, or with none of them the channel. It may call
  /// everything but send().
  using Failed = std::function<void(std::size_t connections, int error)>;

  /// The socket stays the caller's, and open.
  ConnectionSender(int channel, Handshake handshake, Failed failed);

  /// The worker has a ledger: connections with a number of `kept` are kept there once they were
  /// sent. It must outlive this.
  void keep_copies(KeptConnections& kept) { kept_ = &kept; }

  enum class Outcome {
    all_sent,
    blocked,  ///< the channel is full, or too many descriptors are in flight
    closed,   ///< the worker takes nothing more
  };
  /// Sends until one of these is so.
  Outcome send();

  /// A connection to be sent, under this number.
  void add(HeldConnection held, std::uint64_t id);
  /// A message to be sent after all connections that are to be sent by then.
  void add(std::string message, std::vector<Fd> descriptors = {});
  /// Messages with descriptors that were not sent yet are dropped: others take their place.
  void drop_descriptors();

  std::size_t unsent() const { return unsent_.size(); }
  std::size_t unacknowledged() const { return unacknowledged_.size(); }
  std::size_t messages() const { return messages_.size(); }
  /// Connections that were sent, ever.
  std::uint64_t sent() const { return sent_; }

  /// The unacknowledged connection of this number.
  std::optional<HeldConnection> take(std::uint64_t id);
  std::deque<HeldConnection> take_unsent();
  /// All that is not acknowledged: first what was sent, then the unsent.
  std::deque<HeldConnection> take_all();

  /// The worker lacks descriptors: one connection a message.
  void slow_down() { most_per_message_ = 1; }
  /// It has had enough for the last message: twice as many, up to a whole message.
  void speed_up();

 private:
  Outcome send_connections();
  bool is_kept(const Connection& connection) const;
  void ask_for_started(Connection& connection) const;
  std::deque<HeldConnection> number_anew(std::deque<HeldConnection> unsent) const;
  Outcome send_messages();
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
