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

/// The phase of an upgrade; the table of transitions is at next_phase().
enum class UpgradePhase {
  spawning,           ///< the successor is started
  waiting_for_ready,  ///< the successor starts its workers
  ready,              ///< the successor serves, beside this master
  taken_over,         ///< everything goes to the successor
  stopping,           ///< the successor has taken over, and stops as this master does
  gone,               ///< the successor has taken over and ended, or broken its channel
  failed,             ///< the successor was not ready, and does not run any more
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

/// Returns the phase after the event; `phase` itself if the event changes nothing.
UpgradePhase next_phase(UpgradePhase phase, UpgradeEvent event);

/// The upgrade to another process of this program (or of a newer one at its path) that takes over
/// from a master. To its predecessor the successor is a worker that has joined: it is passed the
/// connections over a channel.
class Upgrade {
 public:
  /// All references must outlive this object.
  Upgrade(Reactor& reactor, Balancer& balancer, std::shared_ptr<Custody> custody,
          const Report& report);
  Upgrade(const Upgrade&) = delete;
  Upgrade& operator=(const Upgrade&) = delete;
  ~Upgrade();

  /// Starts the successor, and waits until it is ready. If the result is a failure, the successor
  /// does not run any more. This object must outlive the task.
  Task<Status> start(SpawnSuccessor spawn, Duration ready_timeout);

  /// Called when this master stops. Before the successor is ready, this ends start() and the
  /// successor; later the end of the successor is expected.
  void give_up() { take(UpgradeEvent::master_stops); }

  UpgradePhase phase() const { return phase_; }
  /// Returns whether the successor serves in this master's place, or did so until it ended.
  bool has_taken_over() const {
    return phase_ == UpgradePhase::taken_over || phase_ == UpgradePhase::stopping ||
           phase_ == UpgradePhase::gone;
  }
  /// Returns the process of the successor, even if it has failed; 0 before there is one.
  pid_t pid() const { return process_ ? process_->pid() : 0; }
  /// Gives the successor the names of the listeners, and makes it a recipient of the balancer's
  /// connections.
  void take_over();
  /// Waits until the successor has taken everything that it was given, or is gone. This object must
  /// outlive the task.
  Task<void> until_done();

 private:
  /// Changes the phase; nothing else does.
  void take(UpgradeEvent event);
  /// Starts the successor on a new channel.
  Status spawn(const SpawnSuccessor& spawn);
  /// Returns whether nothing is left to be given to the successor.
  bool is_done() const;
  Task<std::optional<std::string>> describe_end();

  LifeEvents life_events();
  TrafficEvents traffic_events();
  /// Called when the successor's channel is closed.
  void closed(WorkerChannel& link, const Status& how);

  Reactor& reactor_;
  Balancer& balancer_;
  std::shared_ptr<Custody> custody_;
  const Report& report_;
  Condition progress_;
  std::unique_ptr<SuccessorProcess> process_;
  std::shared_ptr<WorkerChannel> link_;
  UpgradePhase phase_ = UpgradePhase::spawning;
  UpgradeEvent failure_ = UpgradeEvent::not_spawned;  ///< the event that has led to `failed`
  Status channel_end_ = Status::ok();                 ///< how the successor's channel was closed
};

}  // namespace handoff
