// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <handoff/async/condition.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "async/limited_line.hpp"
#include "master/alarm_clock.hpp"
#include "master/balancer.hpp"
#include "master/channel_events.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_channel.hpp"
#include "os/log.hpp"
#include "os/status.hpp"
#include "pass/ledger.hpp"
#include "pass/method_totals.hpp"

namespace handoff {

/// The counters of workers that have ended, all of one number together.
struct FormerWorkers {
  std::uint64_t connections = 0;  ///< connections that they were given, or have accepted
  ledger::Totals totals;          ///< without calls under way
  ledger::MethodTotals methods;   ///< the newest methods first
};

/// Handles what the workers' channels report: counts the connections that the workers have, passes
/// on those that they return, those of one turn of the loop together, and tells each worker of the
/// events that concern its phase.
class WorkerTraffic final : private PollSource {
 public:
  /// Calls `has_room` when a worker has room again. All references must outlive this object.
  WorkerTraffic(Reactor& reactor, AlarmClock& clock, Balancer& balancer, Report report,
                std::function<void()> has_room);
  WorkerTraffic(const WorkerTraffic&) = delete;
  WorkerTraffic& operator=(const WorkerTraffic&) = delete;
  ~WorkerTraffic() { reactor_.remove(*this); }

  /// Returns the events with which the channel of a worker is made. The worker must be added before
  /// the channel starts.
  LifeEvents life_events();
  TrafficEvents traffic_events();
  /// Tells the worker from now on what its channel reports. The worker must exist until remove().
  void add(SupervisedWorker& worker);
  /// Forgets a worker that has ended. Connections that it still had are not counted any more.
  void remove(SupervisedWorker& worker);

  /// Retires all workers; see Balancer::retire().
  void retire(Retirement how) { balancer_.retire(how); }
  Retirement retirement() const { return balancer_.retirement(); }
  /// Called when no worker of this number follows the last one.
  void number_retired(int number) { balancer_.pass_what_waits_for(number); }

  /// Returns the number of connections that workers have ever accepted themselves.
  std::uint64_t accepted() const { return accepted_; }
  /// Returns the number of connections that the workers have, as far as that is known.
  std::size_t open_connections() const { return held_; }
  /// Returns what became of the connections of workers that have died.
  const RescueCounts& rescued() const { return rescued_; }
  /// Returns the number of connections that were lost since the workers were retired.
  std::size_t lost() const { return lost_; }
  /// Returns the number of connections that were ever lost: with their worker, or because they
  /// could not be passed or received. A worker that has joined may go on serving its connections
  /// when its channel is closed.
  std::uint64_t lost_ever() const { return rescued_.closed + lost_ever_; }

  /// Returns the counters of all workers, including those that have ended: no number falls but that
  /// of the calls under way. A call that the death of its worker interrupted counts as an error
  /// too.
  ledger::Totals totals() const;
  /// Returns the counters by method of all workers that count so, including those that have ended.
  /// Calls that the death of a worker interrupted are no errors here.
  ledger::MethodTotals method_totals() const;
  /// Returns the counters of workers that have ended, by their number.
  const std::map<int, FormerWorkers>& former() const { return former_; }

  /// Asks the workers that know more than their ledgers say, and waits for the answers a short
  /// time. This object must outlive the task.
  Task<void> ask_for_requests();

 private:
  /// Returns the worker of a channel, which was added.
  SupervisedWorker& worker_of(const WorkerChannel& link) { return *workers_.at(&link); }

  void has_room(WorkerChannel& link);
  void connections_returned(std::vector<HeldConnection> all);
  void rescued(const WorkerChannel& link, const RescueCounts& counts);
  void connections_lost(const WorkerChannel& link, std::size_t count);
  /// Counts lost connections, also by themselves once the workers are retired.
  void count_lost(std::size_t count);
  void send_failed(const WorkerChannel& link, std::size_t connections, int error);
  void requests_told(const WorkerChannel& link);
  void closed(const WorkerChannel& link, const Status& how);
  /// Returns whether connections that workers return can go to others.
  bool passes_on() const;
  /// Sends what was passed on in the turn that is over.
  bool poll() override;

  Reactor& reactor_;
  AlarmClock& clock_;
  Balancer& balancer_;
  Report report_;
  LimitedLine report_lost_;  ///< reports of connections that could not be passed
  std::function<void()> has_room_;
  std::unordered_map<const WorkerChannel*, SupervisedWorker*> workers_;
  std::set<const WorkerChannel*>
      asked_;  ///< channels of workers that were asked for their requests and have not answered
  Condition all_answered_;
  bool has_passed_on_ =
      false;  ///< connections were passed on in this turn, which are sent at its end
  std::uint64_t accepted_ = 0;
  std::size_t held_ = 0;
  std::size_t lost_ = 0;
  std::uint64_t lost_ever_ = 0;  ///< without those that rescued_ counts
  std::map<int, FormerWorkers> former_;
  RescueCounts rescued_;
};

}  // namespace handoff
