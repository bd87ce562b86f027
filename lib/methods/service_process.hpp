// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/rpc/call.hpp>

#include "methods/child_runner.hpp"
#include "methods/coprocess_child.hpp"
#include "rpc/memory_budget.hpp"
#include "wire/reply.hpp"

namespace handoff {

/// The phase of a service's process.
enum class ServicePhase {
  open,     ///< it takes calls as long as it has room
  retired,  ///< it takes no more calls, and is over with the last of those that it has
  over,     ///< it was killed and reaped, and has no calls
};

/// What happens to a service's process.
enum class ServiceEvent {
  distrusted,  ///< a call got no reply in time, and the late reply could be taken for another's
  last_over,   ///< the last of its calls is over
  failed,      ///< it has ended, or wrote something that is not a reply; all its calls are over
};

/// Returns the phase after the event; the old phase if the event changes nothing.
ServicePhase next_phase(ServicePhase phase, ServiceEvent event);

/// Says whether replies carry the ids of their requests; the first reply of a process decides.
enum class ReplyIds { unknown, absent, present };

class ServiceProcess;

/// A call that a service's process answers. The destructor gives the call up.
class ServiceCall {
 public:
  explicit ServiceCall(Reactor& reactor) : over(reactor) {}
  ServiceCall(const ServiceCall&) = delete;
  ServiceCall& operator=(const ServiceCall&) = delete;
  ~ServiceCall();

  /// Sends the call to a process that takes_calls(). Call it once.
  void begin(std::shared_ptr<ServiceProcess> process, std::string_view method,
             std::string_view params);
  /// Says that the call is over, by a reply or by the end of its process.
  void finish(Result result);
  bool is_begun() const { return process_ != nullptr; }
  /// Returns the result of a call that is over, or the error of one whose deadline has passed. Call
  /// it at most once, after begin().
  Result take_result();

  /// Set when the call is over.
  Event over;

 private:
  std::shared_ptr<ServiceProcess> process_;
  std::uint64_t id_ = 0;
  std::optional<Result> result_;
};

/// One process of a service. It reads requests as lines and writes replies as lines, in the
/// protocol of the programs themselves. Each request has an id that no other request to this
/// process has had. If the first reply carries its id, up to `max_calls` calls are under way at
/// once and their replies may come in any order; otherwise one call is under way at a time. Used on
/// the reactor's thread only.
///
/// The process is killed when it writes something that is not a reply, or a reply that no call has
/// asked for. All its calls then get an error, as they also do when it ends.
class ServiceProcess final : public std::enable_shared_from_this<ServiceProcess>, private Timer {
 public:
  struct Options {
    std::size_t max_calls = 1;                ///< the most calls at a time
    const ProcessOptions* process = nullptr;  ///< not null
    CoprocessTimes times;
    /// Called when the process may take a call, or is over; never after abandon().
    std::function<void()> changed;
    StderrLines::Say log{};  ///< called with each line that the process writes to its stderr
  };

  /// Starts the process. Throws SystemError. The reactor and what the options refer to must outlive
  /// this object.
  static std::shared_ptr<ServiceProcess> start(Reactor& reactor, const StartChild& start,
                                               Options options);

  ServicePhase phase() const { return phase_; }
  /// Returns whether the process has room for another call.
  bool takes_calls() const;
  /// Returns the number of calls that are under way.
  std::size_t calls() const { return calls_.size(); }
  /// Returns whether a call that begins now may trust what it reads: as far as can be seen, the
  /// process has neither ended nor written anything that no call has asked for. If not, the process
  /// is killed. Does not block.
  bool check_usable();
  /// Kills the process because its owner is being destroyed. Its calls get an error.
  void abandon();

  /// Sends a call without blocking, and returns its id.
  std::uint64_t begin(ServiceCall& call, std::string_view method, std::string_view params);
  /// Forgets a call that is not over; its reply is dropped if it still arrives.
  void forget(std::uint64_t id);
  /// Forgets a call whose deadline has passed, and returns its error.
  Result time_out(std::uint64_t id);

 private:
  struct Waiting {
    ServiceCall* call;
    std::uint64_t reads;  ///< how many reads had brought something when it was sent
  };

  ServiceProcess(Reactor& reactor, std::shared_ptr<CoprocessChild> child, Options options);

  void handle(ServiceEvent event);
  void enter(ServicePhase next);
  void fail_all(const Result& why);
  void finish(std::uint64_t id, Result result);
  void deliver_lines(std::size_t first_new);
  void deliver(std::string_view line);
  std::optional<std::uint64_t> id_of_call(const Reply& reply);
  Result line_too_long() const;
  void on_timer() override;
  void drop_call(std::uint64_t id);
  static Task<void> receive_all(std::shared_ptr<ServiceProcess> self);

  Reactor& reactor_;
  std::shared_ptr<CoprocessChild> child_;
  Options options_;
  ServicePhase phase_ = ServicePhase::open;
  ReplyIds ids_ = ReplyIds::unknown;
  std::map<std::uint64_t, Waiting> calls_;  ///< by id
  std::set<std::uint64_t> forgotten_;  ///< ids of forgotten calls whose replies have not arrived
  /// The first reply, until the process has been silent for a moment.
  std::optional<Result> settling_;
  std::uint64_t last_id_ = 0;
  std::uint64_t reads_ = 0;  ///< the number of reads that have brought something
  std::string input_;        ///< the line that is not complete yet
  MemoryBudget::Share held_;
  ReplyParser parser_;
};

}  // namespace handoff
