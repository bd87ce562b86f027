// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/balancer.hpp"
#include "master/custody.hpp"
#include "master/successor_process.hpp"
#include "master/worker_channel.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "os/status.hpp"

namespace handoff {

enum class UpgradePhase {
  spawning,           ///< the successor is started
  waiting_for_ready,  ///< it starts its workers
  ready,              ///< it serves, beside this master
  taken_over,         ///< everything goes to it
  stopping,           ///< it has taken over, and stops as this master does
  gone,               ///< it has taken over and ended, or broken its channel
  failed,             ///< it was not ready, and does not run any more
};

/// What can happen to an upgrade.
enum class UpgradeEvent {
  spawned,
  not_spawned,
  ready,      ///< the successor says that it serves
  timed_out,  ///< it was not ready in time
  closed,     ///< its channel has ended
  take_over,  ///< this master gives everything to it
  master_stops,
};

/// The phase that follows; `phase` itself when the event changes nothing.
UpgradePhase next_phase(UpgradePhase phase, UpgradeEvent event);

/// Another process of this program (or a newer one at its path) that takes over from a master. To
/// its predecessor it is a worker that has joined: the connections go to it over a channel.
class Upgrade {
 public:
  Upgrade(Reactor& reactor, Balancer& balancer, std::shared_ptr<Custody> custody,
          const Report& report);
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;
  ~Upgrade();

  /// Starts the successor, and waits until it is ready. If it is not, it does not run any more.
  Task<Status> start(SpawnSuccessor spawn, Duration ready_timeout);

  /// This master stops. Before the successor is ready, start() ends, and so does the successor;
  /// later its end is expected.
  void give_up() { take(UpgradeEvent::master_stops); }

  UpgradePhase phase() const { return phase_; }
  /// Whether the successor serves in this master's place, or did until it ended.
  bool has_taken_over() const {
    return phase_ == UpgradePhase::taken_over || phase_ == UpgradePhase::stopping ||
           phase_ == UpgradePhase::gone;
  }
  /// The successor's process, also when it has failed; 0 before there is one.
  pid_t pid() const { return process_ ? process_->pid() : 0; }
  /// From now on the names of the listeners are the successor's own, and the balancer gives it
  /// what there is.
  void take_over();
  /// Waits until everything that the successor was given is its own, or it is gone.
  Task<void> until_done();

 private:
  void take(UpgradeEvent event);
  Status spawn(const SpawnSuccessor& spawn);
  bool is_done() const;
  Task<std::optional<std::string>> describe_end();

  LifeEvents life_events();
  TrafficEvents traffic_events();
  void closed(WorkerChannel& link, const Status& how);

  Reactor& reactor_;
  Balancer& balancer_;
  std::shared_ptr<Custody> custody_;
  const Report& report_;
  Condition progress_;
  std::unique_ptr<SuccessorProcess> process_;
  std::shared_ptr<WorkerChannel> link_;
  UpgradePhase phase_ = UpgradePhase::spawning;
  UpgradeEvent failure_ = UpgradeEvent::not_spawned;  ///< what has led to `failed`
  Status channel_end_ = Status::ok();                 ///< how its channel was closed
};

}  // namespace handoff
