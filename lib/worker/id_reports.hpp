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

/// Gathers the numbers of connections that a worker has started or finished, because each message
/// wakes the master. The master only counts the connections that the worker has accepted itself:
/// they wait for up to 50 ms. It keeps a copy of one that it has passed, and may pass another one
/// when it learns of the end: when many end, these wait for a millisecond, or until there are 16.
/// The first one after a pause is due at once.
class IdReports final : private Timer {
 public:
  /// Calls `due`, which must not destroy this object, when there is something to send. The reactor
  /// must outlive this object.
  IdReports(Reactor& reactor, std::function<void()> due);

  /// How soon the master should learn of the end of a connection that it has passed.
  enum class Urgency {
    soon,    ///< it may be gathered with others
    at_once  ///< the master may wait for it
  };

  /// Adds a connection that the worker has accepted itself.
  void started(std::uint64_t id);
  /// Adds a connection that has ended.
  void finished(std::uint64_t id, Urgency urgency = Urgency::soon);
  /// Ends the gathering for good: everything is due at once from now on.
  void report_immediately();
  /// Calls `due` no more.
  void stop() { cancel(); }

  /// Returns whether no number waits.
  bool is_empty() const { return started_.empty() && finished_.empty(); }

  /// Sends one message. Returns false if it must be sent again later.
  using Send = std::function<bool(const std::string& message)>;
  /// These send the numbers in as few messages as possible, and keep those that cannot be sent now.
  /// They return whether none is left.
  bool send_started(const Send& send);
  bool send_finished(const Send& send);

 private:
  enum class Mode {
    gathering,
    immediate,  ///< nothing is gathered any more
  };
  /// How long numbers are gathered, and how many.
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
  TimePoint told_{};  ///< when the master was last told of connections that have finished
  Mode mode_ = Mode::gathering;
};

}  // namespace handoff
