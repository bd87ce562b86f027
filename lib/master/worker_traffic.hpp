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

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/alarm_clock.hpp"
#include "master/balancer.hpp"
#include "master/channel_events.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_channel.hpp"
#include "os/log.hpp"
#include "os/status.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// What workers that have ended have counted, all of one number together.
struct FormerWorkers {
  std::uint64_t connections = 0;  ///< that they were given, or have accepted
  ledger::Totals totals;          ///< without calls under way
};

/// What the workers' channels say. Counts the connections that the workers hold, passes on those
/// that they return, those of one turn of the loop together, and tells each worker of the events
/// that concern its phase.
class WorkerTraffic final : private PollSource {
 public:
  /// `has_room` is called when a worker has room again. The references must outlive this.
  WorkerTraffic(Reactor& reactor, AlarmClock& clock, Balancer& balancer, Report report,
                std::function<void()> has_room);
  WorkerTraffic(const WorkerTraffic&) = delete;
  WorkerTraffic& operator=(const WorkerTraffic&) = delete;
  ~WorkerTraffic() { reactor_.remove(*this); }

  /// What the channel of a worker is made with. It is add()ed before it starts.
  LifeEvents life_events();
  TrafficEvents traffic_events();
  /// From now on the worker is told what comes on its channel.
  void add(SupervisedWorker& worker);
  /// The worker has ended. What it still held is held no more.
  void remove(SupervisedWorker& worker);

  void retire(Retirement how) { balancer_.retire(how); }
  Retirement retirement() const { return balancer_.retirement(); }
  /// No worker of this number follows the last one.
  void number_retired(int number) { balancer_.pass_what_waits_for(number); }

  /// Connections that workers have accepted themselves, ever.
  std::uint64_t accepted() const { return accepted_; }
  /// Connections that the workers hold, as far as that is known.
  std::size_t open_connections() const { return held_; }
  /// What became of the connections of workers that have died.
  const RescueCounts& rescued() const { return rescued_; }
  /// Connections that were lost since the workers were retired.
  std::size_t lost() const { return lost_; }
  /// Connections that were lost ever: with their worker, or because they could not be passed or
  /// received. A worker that has joined may go on serving what it has when its channel is closed.
  std::uint64_t lost_ever() const { return rescued_.closed + lost_ever_; }

  /// What the counters of all workers say, those that have ended included: no number falls but that
  /// of the calls under way. A call that its worker's death interrupted counts as an error too.
  ledger::Totals totals() const;
  /// By the number of the workers.
  const std::map<int, FormerWorkers>& former() const { return former_; }

  /// Asks the workers that know more than their ledgers say, and waits for the answers a little
  /// while. The object must outlive the task.
  Task<void> ask_for_requests();

 private:
  SupervisedWorker& worker_of(const WorkerChannel& link) { return *workers_.at(&link); }

  void has_room(WorkerChannel& link);
  void connections_returned(std::vector<HeldConnection> all);
  void rescued(const WorkerChannel& link, const RescueCounts& counts);
  void connections_lost(const WorkerChannel& link, std::size_t count);
  void count_lost(std::size_t count);
  void send_failed(const WorkerChannel& link, std::size_t connections, int error);
  void requests_told(const WorkerChannel& link);
  void closed(const WorkerChannel& link, const Status& how);
  bool passes_on() const;
  bool poll() override;

  Reactor& reactor_;
  AlarmClock& clock_;
  Balancer& balancer_;
  Report report_;
  LimitedLine report_lost_;  ///< of connections that could not be passed
  std::function<void()> has_room_;
  std::unordered_map<const WorkerChannel*, SupervisedWorker*> workers_;
  std::set<const WorkerChannel*> asked_;  ///< for their requests, and have not answered
  Condition all_answered_;
  bool has_passed_on_ = false;  ///< in this turn, what is to be sent at its end
  std::uint64_t accepted_ = 0;
  std::size_t held_ = 0;
  std::size_t lost_ = 0;
  std::uint64_t lost_ever_ = 0;  ///< but those that rescued_ has
  std::map<int, FormerWorkers> former_;
  RescueCounts rescued_;
};

}  // namespace handoff
