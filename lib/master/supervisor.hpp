// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "master/pass_mode.hpp"
#include "master/start_failures.hpp"
#include "master/supervised_worker.hpp"
#include "master/worker_channel.hpp"
#include "os/child_claim.hpp"
#include "os/log.hpp"
#include "os/process_mark.hpp"
#include "os/process_tree.hpp"
#include "os/tree_guard.hpp"

namespace handoff {

struct SupervisorOptions {
  std::vector<std::string> command;  ///< what every worker executes; empty: workers only join
  Handshake handshake = Handshake::full;
  Duration ready_timeout = std::chrono::seconds(10);
  Duration drain_timeout = std::chrono::seconds(30);
  Duration hang_timeout = std::chrono::seconds(60);  ///< 0: a worker may hang
  Duration backoff_min = std::chrono::milliseconds(100);
  Duration backoff_max = std::chrono::seconds(10);
};

/// What is known of a worker.
struct WorkerStatus {
  int number = 0;
  pid_t pid = 0;      ///< 0 while none runs, or when it runs in another PID namespace
  const char* state;  ///< starting, ready, draining, pausing
  bool joined = false;
  std::size_t connections = 0;  ///< now
  std::uint64_t passed = 0;     ///< connections that it was ever given
  std::uint64_t requests = 0;
  unsigned restarts = 0;  ///< of its place
  Duration age{};
  std::string last_exit;  ///< of its predecessor, if that has died
};

/// Keeps so many workers running: starts them, waits until they are ready, tells the dispatcher of
/// them, and starts another when one dies (after a pause that doubles while they keep dying young).
/// A worker is replaced by starting its successor first; once that is ready, it gets what is new,
/// and the old one drains. Workers that join are looked after in the same way, but for their start
/// and their end, which are not ours.
class Supervisor final : private WorkerChannel::Owner {
 public:
  /// `changed` is called when a worker became ready or is gone, `has_room` when one has room again.
  Supervisor(Reactor& reactor, Dispatcher& dispatcher, std::shared_ptr<Custody> custody,
             SupervisorOptions options, Report report, std::function<void()> changed,
             std::function<void()> has_room);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  /// One worker more. When the first start of any worker can't be executed, the reactor's run
  /// throws SystemError.
  void add();
  /// Drains the worker that was added last. False when there is only one.
  bool retire_one();
  /// So many workers from now on, at least one.
  void scale(std::size_t count);
  /// A worker has joined, by this channel. Refused when there are kMaxJoined already.
  void adopt(Fd channel);
  /// Replaces all workers, those that joined excepted. Empty, or why they were not: then the old
  /// ones serve on. A call while another is under way is answered by the one that comes next.
  Task<std::string> reload();
  /// Replaces the worker of this number, or drains one that has joined. Empty, or why not.
  Task<std::string> replace(int number);
  /// Drains all of them, for good.
  void retire_all(channel::Drain how);
  /// Kills all of them now.
  void kill_all();

  /// A child that is no worker: it is not looked after here. 0 for none.
  void spare(pid_t pid) { spared_ = ChildClaim(pid); }
  /// To be called at SIGCHLD.
  void children_ended();

  /// How all workers end, if none can be expected to start; see StartFailures.
  std::optional<ExitStatus> cannot_start() const {
    return start_failures_.hopeless(places_.size());
  }

  bool is_reloading() const { return reloading_; }
  /// Whether all that were added were ready. Nobody waits for those that join.
  bool all_started() const;
  /// Whether nobody is left.
  bool is_empty() const { return places_.empty() && members_.empty(); }
  /// Workers that shall run, and those that have joined.
  std::size_t size() const;
  /// Connections that workers have accepted themselves, ever.
  std::uint64_t accepted() const { return accepted_; }
  /// Connections that the workers hold, as far as that is known.
  std::size_t open_connections() const { return held_; }
  static constexpr std::size_t kMaxJoined = 1024;

  /// What did not end by itself when all were drained.
  struct CutOff {
    std::size_t workers = 0;      ///< that were killed
    std::size_t connections = 0;  ///< that were held then, as far as that is known
  };
  CutOff cut_off() const { return cut_off_; }

  std::vector<WorkerStatus> status() const;
  /// Asks the workers for their numbers of requests, and waits for the answers a little while.
  Task<void> refresh_requests();
  /// A line for each worker.
  std::vector<std::string> describe() const;

 private:
  /// What happens to all workers, for good.
  enum class Retirement {
    none,
    handing_over,  ///< what they return goes to a successor
    closing,       ///< they close what they have
  };

  Task<void> keep(Place& place);
  Member* try_start(Place& place);
  Member& start(Place& place);
  Task<void> live(Member& member);
  Task<bool> exits_in_time(Member& member);
  Task<void> outlast(Member& member);
  void guard_workers();
  Task<void> watch_answers();
  void judge_answers(Member& member, AnswerWatch::Look look);
  bool serves_without_channel(const Member& member) const;
  Task<void> host(Member& member);
  void member_ended(Member& member, const ExitStatus& status);
  Duration pause_after_death(Place& place, bool was_ready, Duration age) const;
  void forget(Member& member);
  void remove(Member& member);
  bool stopping() const { return retirement_ != Retirement::none; }

  Task<void> reload_all();
  Task<std::string> reload_once();
  Task<void> recycle(int number, pid_t pid);
  bool start_next(Place& place, std::string& problem);
  void promote_next(Place& place);
  void drop_next(Place& place);
  void retire(Place& place);
  void drain(Member& member, channel::Drain how);
  std::string describe_overdue(const Member& member) const;

  Place* find_place(int number);
  int free_number() const;
  Member& member_of(const WorkerChannel& link);

  void worker_ready(WorkerChannel& link) override;
  void worker_has_room(WorkerChannel& link) override;
  void worker_would_leave(WorkerChannel& link) override;
  void connection_returned(WorkerChannel& link, HeldConnection held) override;
  void others_shall_accept(WorkerChannel& link) override;
  void worker_accepted(std::size_t count) override { accepted_ += count; }
  void requests_told(WorkerChannel& link) override;
  void worker_closed(WorkerChannel& link, const std::string& problem) override;
  void connections_lost(WorkerChannel& link, std::size_t count) override;
  void send_failed(WorkerChannel& link, std::size_t connections, int error) override;
  void assigned_changed(std::ptrdiff_t change) override;
  bool passes_on() const override;

  Reactor& reactor_;
  Dispatcher& dispatcher_;
  std::shared_ptr<Custody> custody_;
  SupervisorOptions options_;
  Report report_;
  LimitedLine report_joined_left_;
  LimitedLine report_joined_trouble_;
  LimitedLine report_lost_;  ///< of connections that could not be passed
  std::function<void()> changed_;
  std::function<void()> has_room_;
  std::list<Place> places_;
  std::list<Member> members_;
  Condition progress_;  ///< of what reload() and replace() wait for
  std::set<const WorkerChannel*> asked_;
  CutOff cut_off_;
  std::string last_failure_;  ///< of a successor that died
  std::uint64_t accepted_ = 0;
  std::size_t held_ = 0;
  std::uint64_t reloads_wanted_ = 0;
  std::uint64_t reloads_done_ = 0;
  std::string reload_problem_;  ///< of the last one
  ProcessMarks marks_;
  std::optional<TreeGuard> guard_;  ///< of workers that do not notice our end
  ChildClaim spared_;
  StartFailures start_failures_;
  bool reloading_ = false;
  Retirement retirement_ = Retirement::none;
  bool any_started_ = false;
};

}  // namespace handoff
