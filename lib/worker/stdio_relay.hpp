// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>

#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"

namespace handoff {

/// Two pipes in front of a session, which has one socket: what `input` brings is copied to the
/// socket, and what the session writes is copied to `output`. It is shared: its tasks keep it alive
/// until both directions have ended.
class StdioRelay : public std::enable_shared_from_this<StdioRelay> {
 public:
  /// Takes over the three descriptors; `socket` is the other end of the session's. Calls `finished`
  /// when everything that the session has written was copied, or cannot be. The reactor must
  /// outlive this object.
  StdioRelay(Reactor& reactor, Fd input, Fd output, Fd socket, std::function<void()> finished);
  StdioRelay(const StdioRelay&) = delete;
  StdioRelay& operator=(const StdioRelay&) = delete;

  /// Starts the copying.
  void start();
  /// Returns whether the copying to `output` has ended. The session may have ended before.
  bool is_finished() const { return finished_; }

 private:
  static Task<void> copy(std::shared_ptr<StdioRelay> self, Stream& from, Stream& to);
  static Task<void> copy_output(std::shared_ptr<StdioRelay> self);

  Reactor& reactor_;
  Stream input_;
  Stream output_;
  Stream socket_;
  std::function<void()> tell_finished_;
  bool finished_ = false;
};

}  // namespace handoff
