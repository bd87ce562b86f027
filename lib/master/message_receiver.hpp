// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/connection_sender.hpp"
#include "master/custody.hpp"
#include "pass/channel.hpp"
#include "pass/fd_passing.hpp"

namespace handoff {

/// Receives the messages of one worker. A message that returns connections stays in the channel
/// until there are descriptors for all of them, and room for them in the master's hands.
///
/// No system call blocks.
class MessageReceiver {
 public:
  /// The result of one attempt.
  enum class Outcome {
    message,
    lost,       ///< a message with connections for which there were no descriptors: they are closed
    skipped,    ///< something without a meaning was received; there may be more
    nothing,    ///< nothing is there until the channel is readable
    no_room,    ///< connections wait until Custody has room for them
    no_memory,  ///< there is no memory for a message that waits: pause, then try again
    end,        ///< the worker has closed its end, and everything that it had sent was received
    broken,     ///< the worker has broken the protocol, or the channel has failed: see `problem`
  };
  /// What one attempt has received.
  struct Received {
    Outcome outcome = Outcome::nothing;
    channel::Message message{};  ///< set with `message` and `lost`
    std::string problem{};       ///< what is wrong, for a person to read
  };

  /// How a message is received that returns connections.
  enum class Returns {
    unexpected,  ///< as any message, as long as there is room: that saves a system call
    wait,        ///< it waits for room and descriptors
    may_be_lost  ///< at once, with descriptors or without: no process would take them later
  };

  /// The functions through which it acts.
  struct Owner {
    /// Returns what to do with connections that the worker returns.
    std::function<Returns()> returns;
    /// Called with everything that was received, except `nothing` and what waits. It may end the
    /// channel.
    std::function<void(Received received)> take;
    /// Returns whether more is to be received.
    std::function<bool()> is_open;
  };
  /// The caller keeps the socket and its watcher, which must outlive this object.
  MessageReceiver(Reactor& reactor, FdWatcher& watcher, int channel, Handshake handshake,
                  std::shared_ptr<Custody> custody, Owner owner);

  /// Receives as long as the channel is open. The task keeps `alive`, which owns `self`.
  static Task<void> run(MessageReceiver& self, std::shared_ptr<void> alive);
  /// Receives what the worker has sent until now. It waits only if there are no descriptors for
  /// returned connections, or no memory.
  static Task<void> run_to_the_end(MessageReceiver& self, std::shared_ptr<void> alive);

  /// Makes one attempt to receive. Does not block.
  Received receive(Returns returns);

  /// Returns whether something waits to be received.
  bool has_unread() const;

 private:
  /// Makes one attempt, and gives its result to the owner.
  Outcome receive_one();
  Received receive_returned(Returns returns);
  Received judge(ReceiveResult result) const;
  /// Returns whether the next message returns connections. It stays in the channel.
  bool next_is_return() const;

  Reactor& reactor_;
  FdWatcher& watcher_;
  int channel_;
  Handshake handshake_;
  std::shared_ptr<Custody> custody_;
  Owner owner_;
  std::unique_ptr<char[]> packet_;
};

}  // namespace handoff
