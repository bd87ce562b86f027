// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/connection_sender.hpp"

namespace handoff {

/// Sends what a ConnectionSender has whenever its channel takes it.
class ChannelWriter {
 public:
  /// It may do everything but destroy the writer.
  struct Owner {
    /// Something was sent, or could not be.
    std::function<void()> tried;
    /// A channel that was full has taken everything.
    std::function<void()> went_on;
    /// Everything was sent.
    std::function<void()> all_sent;
    /// Whether anything is still to be sent.
    std::function<bool()> is_open;
  };
  /// The watcher is that of `channel`; it and `sender` outlive this.
  ChannelWriter(Reactor& reactor, FdWatcher& watcher, int channel, ConnectionSender& sender,
                Owner owner);

  /// Sends as far as the channel takes it now; a task sends the rest, and keeps `alive`, which owns
  /// this.
  void flush(const std::shared_ptr<void>& alive);
  /// Whether that task is at work.
  bool is_blocked() const { return state_ == State::when_writable; }
  /// The worker takes nothing more: what it has sent is still received, to the end that this makes.
  void end_receiving();

 private:
  enum class State {
    at_once,        ///< everything leaves in flush()
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
