// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// The numbers of connections that a worker has started or finished, until the master is told. The
/// master counts those that the worker has accepted itself, and need not know at once: they are
/// gathered for a moment.
class IdReports final : private Timer {
 public:
  /// `due` is called when there is something to send; it must not destroy this.
  IdReports(Reactor& reactor, std::function<void()> due);

  /// A connection that the worker has accepted itself.
  void started(std::uint64_t id);
  /// The connection has ended.
  void finished(std::uint64_t id);
  /// From now on nothing is gathered.
  void report_immediately();
  /// Nothing is due any more.
  void stop() { cancel(); }

  bool is_empty() const { return started_.empty() && finished_.empty(); }

  /// Sends one message of `type`; false when it must be tried again later.
  using Send = std::function<bool(const std::string& message)>;
  /// Sends them in as few messages as it takes, and keeps the rest. Returns whether none is left.
  bool send_started(const Send& send);
  bool send_finished(const Send& send);

 private:
  enum class Mode {
    gathering,  ///< the next one arms the timer
    armed,      ///< what there is becomes due with the timer
    immediate,  ///< for good
  };

  void gather(std::vector<std::uint64_t>& ids, std::uint64_t id);
  void on_timer() override;

  Reactor& reactor_;
  std::function<void()> due_;
  std::vector<std::uint64_t> started_;
  std::vector<std::uint64_t> finished_;
  Mode mode_ = Mode::gathering;
};

}  // namespace handoff
