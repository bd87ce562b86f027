// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "async/clock.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"
#include "rpc/memory_budget.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// A worker's end of `--pass queue`: takes requests out of the master's memory, runs their methods,
/// and puts the replies into its own. The master may give it more than run at a time. It takes
/// those when others have ended, and the master may take them back until then.
///
/// Shared: its calls keep it alive.
class QueueConsumer final : public std::enable_shared_from_this<QueueConsumer>, private PollSource {
 public:
  /// Called when the master is to be woken; and, while the server drains, when there may be
  /// nothing left to do.
  struct Owner {
    std::function<void()> wake_master;
    std::function<void()> became_idle;
    /// Has a call run on another thread, and `done` called on this one; or gives false.
    std::function<bool(Call&, const std::function<void(Result)>& done)> run_elsewhere;
  };
  /// Runs at most `max_calls` at a time. Throws SystemError or InvalidArgument when the memories
  /// are none. The context must outlive it.
  QueueConsumer(ServerContext& context, Fd masters, Fd ours, std::size_t max_calls, Owner owner);
  QueueConsumer(const QueueConsumer&) = delete;
  QueueConsumer& operator=(const QueueConsumer&) = delete;
  ~QueueConsumer();

  /// Whether nothing is to be done, and everything was answered.
  bool idle() const {
    return running_ == 0 && unsent_.empty() && !unpublished_ && !rings_.has_record();
  }
  std::size_t running() const { return running_; }

 private:
  /// A request whose method runs.
  struct Running {
    std::uint64_t ticket;
    std::size_t size;  ///< bytes that count as held
    TimePoint begun;
  };
  struct Reply {
    std::uint64_t ticket;
    Result result;
    std::uint32_t duration;  ///< see QueueReply
  };

  bool poll() override;
  void prepare_to_block() override;
  void stop_blocking() override;
  bool take_requests();
  void take(const QueueRequest& request);
  void begin(const QueueRequest& request);
  static Task<void> run(std::shared_ptr<QueueConsumer> self,
                        std::shared_ptr<const MethodTable> table, Call call, Running running);
  void reply_now(std::uint64_t ticket, std::string_view json);
  void reply(std::uint64_t ticket, Result result, std::uint32_t duration = 0);
  void put(Reply reply);
  bool write(const Reply& reply);
  bool may_take() const;
  void ended(const Running& running, Result result);
  bool send_unsent();
  void publish();

  ServerContext& context_;
  Owner owner_;
  RingEnd rings_;
  std::size_t max_calls_;
  std::string record_;
  std::deque<Reply> unsent_;  ///< for which there is no room
  std::size_t running_ = 0;
  std::size_t held_ = 0;  ///< bytes of the requests that run, and of unsent_
  MemoryBudget::Share share_;
  std::uint32_t instant_duration_ = 0;  ///< of a request that is answered at once, in the mean
  bool unpublished_ = false;
};

}  // namespace handoff
