// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/connection_sender.hpp"

namespace handoff {

/// Sends what a ConnectionSender has, whenever its channel has room.
class ChannelWriter {
 public:
  /// The functions to which it reports. They may do everything but destroy the writer.
  struct Owner {
    /// Called when something was sent, or could not be.
    std::function<void()> tried;
    /// Called when a channel that was full has taken everything.
    std::function<void()> went_on;
    /// Called when everything was sent.
    std::function<void()> all_sent;
    /// Returns whether anything is still to be sent.
    std::function<bool()> is_open;
  };
  /// `watcher` is the watcher of `channel`. All references must outlive this object.
  ChannelWriter(Reactor& reactor, FdWatcher& watcher, int channel, ConnectionSender& sender,
                Owner owner);

  /// Sends as much as the channel takes now. A task sends the rest, and keeps `alive`, which owns
  /// this object. Does not block.
  void flush(const std::shared_ptr<void>& alive);
  /// Returns whether that task is running.
  bool is_blocked() const { return state_ == State::when_writable; }
  /// Shuts down receiving, because the worker takes nothing more: what it has sent is still
  /// received, and then the end.
  void end_receiving();

 private:
  enum class State {
    at_once,        ///< flush() sends everything
    when_writable,  ///< the channel was full: send_when_writable() is at work
  };
  ConnectionSender::Outcome send();
  static Task<void> send_when_writable(ChannelWriter& self, std::shared_ptr<void> alive);

  Reactor& reactor_;
  FdWatcher& watcher_;
  int channel_;
  ConnectionSender& sender_;
  Owner owner_;
  State state_ = State::at_once;
};

}  // namespace handoff
