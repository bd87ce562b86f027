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

/// Whether a process of a service takes calls.
enum class ServicePhase {
  open,     ///< it does, as far as it has room
  retired,  ///< no more: it is over with the last of the calls that it has
  over,     ///< it was killed and reaped, and has no calls
};

/// What happens to a process of a service.
enum class ServiceEvent {
  distrusted,  ///< a call got no reply in time, and its reply could be taken for another's
  last_over,   ///< the last of its calls is over
  failed,      ///< it has ended, or wrote what is no reply; all of its calls are over
};

/// The phase after the event; the same phase when the event changes nothing.
ServicePhase next_phase(ServicePhase phase, ServiceEvent event);

/// Whether replies carry the ids of their requests, as the first one of a process says.
enum class ReplyIds { unknown, absent, present };

class ServiceProcess;

/// A call that a process of a service answers. Destroying it gives the call up.
class ServiceCall {
 public:
  explicit ServiceCall(Reactor& reactor) : over(reactor) {}
  ServiceCall(const ServiceCall&) = delete;
  ServiceCall& operator=(const ServiceCall&) = delete;
  ~ServiceCall();

  /// Sends the call to a process that takes_calls().
  void begin(std::shared_ptr<ServiceProcess> process, std::string_view method,
             std::string_view params);
  /// The call is over, by a reply or by the end of its process.
  void finish(Result result);
  bool is_begun() const { return process_ != nullptr; }
  /// What it has got; when it is not over yet, its time is up. At most once, after begin().
  Result take_result();

  Event over;

 private:
  std::shared_ptr<ServiceProcess> process_;
  std::uint64_t id_ = 0;
  std::optional<Result> result_;
};

/// One running process of a service: it reads requests as lines and writes replies as lines, the
/// protocol's own. Each request has an id that no other request to the process has had. When the
/// first reply carries its id, up to `max_calls` calls are under way at once and their replies come
/// in any order; else one call is under way at a time.
///
/// It is killed when it writes anything that no call has asked for or that is no reply. All calls
/// that it has get an error then, and so do they when it ends.
class ServiceProcess final : public std::enable_shared_from_this<ServiceProcess>, private Timer {
 public:
  struct Options {
    std::size_t max_calls = 1;  ///< at a time
    const ProcessOptions* process = nullptr;
    CoprocessTimes times;
    std::function<void()> changed;  ///< may take a call, or is over; not after abandon()
    StderrLines::Say log{};         ///< called with each line of its stderr
  };

  /// Starts the process. Throws SystemError. The reactor and what the options refer to must outlive
  /// this object.
  static std::shared_ptr<ServiceProcess> start(Reactor& reactor, const StartChild& start,
                                               Options options);

  ServicePhase phase() const { return phase_; }
  /// Whether it has room for one more call.
  bool takes_calls() const;
  /// Calls that are under way.
  std::size_t calls() const { return calls_.size(); }
  /// Whether a call that begins now may trust what it reads: as far as is known the process has
  /// not ended, nor written anything that no call has asked for. Else it is killed. Does not block.
  bool check_usable();
  /// Kills it because its owner goes. Its calls get an error.
  void abandon();

  /// Sends a call, and returns its id.
  std::uint64_t begin(ServiceCall& call, std::string_view method, std::string_view params);
  /// Forgets a call that is not over: its reply is dropped if it comes.
  void forget(std::uint64_t id);
  /// The same for a call whose time is up, of which it returns the error.
  Result time_out(std::uint64_t id);

 private:
  struct Waiting {
    ServiceCall* call;
    std::uint64_t reads;  ///< that had brought something when it was sent
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
  std::set<std::uint64_t> forgotten_;       ///< ids whose replies have not come yet
  std::optional<Result> settling_;  ///< of the first call, until it is known that nothing follows
  std::uint64_t last_id_ = 0;
  std::uint64_t reads_ = 0;  ///< that have brought something
  std::string input_;        ///< the line that is not whole yet
  MemoryBudget::Share held_;
  ReplyParser parser_;
};

}  // namespace handoff
