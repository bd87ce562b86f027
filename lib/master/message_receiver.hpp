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

/// Receives what one worker says. A message that returns connections stays in the channel until
/// there are descriptors for all of them, and room for them in the master's hands.
///
/// No system call blocks.
class MessageReceiver {
 public:
  enum class Outcome {
    message,
    lost,       ///< a message with connections that there were no descriptors for: they are closed
    skipped,    ///< something that means nothing; there may be more
    nothing,    ///< until the channel is readable
    no_room,    ///< connections wait until Custody has room for them
    no_memory,  ///< to receive a message that waits: pause, then try again
    end,        ///< the worker has closed its end, and everything that it had sent was received
    broken,     ///< the protocol, or the channel: see `problem`
  };
  struct Received {
    Outcome outcome = Outcome::nothing;
    channel::Message message{};  ///< with `message` and `lost`
    std::string problem{};       ///< what a person is told of it
  };

  /// How connections are received that the worker returns.
  enum class Returns {
    unexpected,  ///< like every message as long as there is room: that is a system call less
    wait,        ///< they wait for room and descriptors
    may_be_lost  ///< nobody would take them later: at once, descriptors or not
  };

  struct Owner {
    /// What to do with connections that the worker returns.
    std::function<Returns()> returns;
    /// Is given all that was received, but `nothing` and what waits. It may end the channel.
    std::function<void(Received received)> take;
    /// Whether more is to be received.
    std::function<bool()> is_open;
  };
  /// The socket and its watcher stay the caller's, and outlive this.
  MessageReceiver(Reactor& reactor, FdWatcher& watcher, int channel, Handshake handshake,
                  std::shared_ptr<Custody> custody, Owner owner);

  /// Receives as long as the channel is open. The task keeps `alive`, which owns `self`.
  static Task<void> run(MessageReceiver& self, std::shared_ptr<void> alive);
  /// Receives what the worker has sent until now; waits only when there are no descriptors for what
  /// was returned, or no memory.
  static Task<void> run_to_the_end(MessageReceiver& self, std::shared_ptr<void> alive);

  /// One attempt.
  Received receive(Returns returns);

  /// Whether something waits to be received.
  bool has_unread() const;

 private:
  Outcome receive_one();
  Received receive_returned(Returns returns);
  Received judge(ReceiveResult result) const;
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
