// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "cluster/dispatcher.hpp"
#include "cluster/report.hpp"
#include "cluster/worker_link.hpp"
#include "os/process.hpp"

namespace handoff {

struct SupervisorOptions {
  std::vector<std::string> command;  ///< what every worker executes
  Handshake handshake = Handshake::full;
  Duration ready_timeout = std::chrono::seconds(10);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
};

/// Keeps so many workers running: starts them, waits until they are ready, tells the dispatcher of
/// them, starts another when one dies (after a pause that doubles while they keep dying young), and
/// drains them in the end. Workers that join are looked after in the same way, but for their start
/// and their end, which are not ours.
class Supervisor final : private WorkerLink::Owner {
 public:
  /// `changed` is called when a worker became ready, has room again, or is gone.
  Supervisor(Reactor& reactor, Dispatcher& dispatcher, SupervisorOptions options, Report report,
             std::function<void()> changed);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  /// One worker more. When the first start of any worker can't be executed, the reactor's run
  /// throws SystemError.
  void add();
  /// A worker has joined, by this channel. Refused when there are kMaxJoined already.
  void adopt(Fd channel);
  /// Drains the worker that was added last. False when there is only one.
  bool retire_one();
  /// Drains all of them.
  void retire_all();
  /// Kills all of them now.
  void kill_all();

  std::size_t size() const { return places_.size(); }
  /// Whether all that were added were ready. Nobody waits for those that join.
  bool all_started() const;
  /// Connections that the workers hold, as far as that is known.
  std::size_t held() const;
  static constexpr std::size_t kMaxJoined = 1024;

  /// What did not end by itself while it drained.
  struct CutOff {
    std::size_t workers = 0;      ///< that were killed
    std::size_t connections = 0;  ///< that were held then, as far as that is known
  };
  CutOff cut_off() const { return cut_off_; }
  /// A line for each worker.
  std::vector<std::string> describe() const;

 private:
  /// One of the places for a worker; the worker in it changes.
  struct Place {
    enum class State { starting, ready, draining, pausing };
    Place(Reactor& reactor, int n) : number(n), wake(reactor) {}

    int number;
    State state = State::starting;
    bool retired = false;  ///< no other worker follows
    bool killed = false;   ///< by us
    bool joined = false;   ///< it is no child of ours
    Child child;
    std::shared_ptr<WorkerLink> link;
    std::optional<Readiness> exited;  ///< of the running worker
    std::optional<Deadline> limit;    ///< when it is killed
    TimePoint due = kNever;           ///< the same
    std::optional<Alarm> alarm;       ///< the same for one that has joined
    Event wake;                       ///< ends a pause; the alarm, or the end of one that joined
    TimePoint started{};
    unsigned restarts = 0;
    unsigned pauses = 0;             ///< in a row, because workers die young
    bool restarted_at_once = false;  ///< the one that died young was
  };

  Place& add_place();
  Task<void> keep(Place& place);
  Task<void> host(Place& place);
  void limit(Place& place, Duration duration);
  void unlimit(Place& place);
  bool start(Place& place);
  Task<ExitStatus> wait_for_exit(Place& place);
  Duration pause_after_death(Place& place, bool was_ready) const;
  std::string describe_overdue(const Place& place) const;
  void retire(Place& place);
  void kill(Place& place);
  void forget(const Place& place);
  bool is_worker(pid_t pid) const;
  Place& place_of(const WorkerLink& link);
  std::string name(const Place& place) const;

  void worker_ready(WorkerLink& link) override;
  void worker_has_room(WorkerLink& link) override;
  void worker_closed(WorkerLink& link, const std::string& problem) override;

  Reactor& reactor_;
  Dispatcher& dispatcher_;
  SupervisorOptions options_;
  Report report_;
  std::function<void()> changed_;
  std::list<Place> places_;
  CutOff cut_off_;
  bool any_started_ = false;
};

}  // namespace handoff
