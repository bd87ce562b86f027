// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "async/clock.hpp"
#include "async/reactor.hpp"
#include "async/timer.hpp"

namespace handoff {

/// The numbers of connections that a worker has started or finished, until the master is told. Each
/// message wakes the master, so they are gathered. The master counts the connections that the
/// worker has accepted itself, and need not know at once: they wait for 50 ms. It keeps a copy of
/// one that it has passed, and may pass another when it hears of the end: when many end, they wait
/// for a millisecond, or until there are 16. The first after a pause is told at once.
class IdReports final : private Timer {
 public:
  /// `due` is called when there is something to send; it must not destroy this.
  IdReports(Reactor& reactor, std::function<void()> due);

  /// How soon the master is to hear of the end of a connection that it has passed.
  enum class Urgency {
    soon,    ///< it may be gathered
    at_once  ///< the master may wait for it
  };

  /// A connection that the worker has accepted itself.
  void started(std::uint64_t id);
  /// The connection has ended.
  void finished(std::uint64_t id, Urgency urgency = Urgency::soon);
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
    gathering,
    immediate,  ///< for good
  };
  /// How long ids are gathered, and how many.
  struct Patience {
    Duration pause;
    std::size_t ids;
  };
  static const Patience kOwn;
  static const Patience kPassed;

  void gather(const std::vector<std::uint64_t>& ids, const Patience& patience);
  void on_timer() override;

  Reactor& reactor_;
  std::function<void()> due_;
  std::vector<std::uint64_t> started_;
  std::vector<std::uint64_t> finished_;
  TimePoint told_{};  ///< when the master was told last of connections that have finished
  Mode mode_ = Mode::gathering;
};

}  // namespace handoff
