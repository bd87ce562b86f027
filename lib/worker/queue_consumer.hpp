// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <handoff/async/clock.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>

#include "pass/queue_record.hpp"
#include "pass/ring.hpp"
#include "rpc/memory_budget.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// A worker's end of `--pass queue`: it takes requests out of the master's memory, runs their
/// methods, and puts the replies into its own memory. The master may give it more requests than it
/// runs at a time. It takes those when others have ended, and until then the master may take them
/// back.
///
/// It is shared: its calls keep it alive.
class QueueConsumer final : public std::enable_shared_from_this<QueueConsumer>, private PollSource {
 public:
  /// The functions through which it reaches the rest of the worker. All must be set.
  struct Owner {
    /// Called when the master must be woken.
    std::function<void()> wake_master;
    /// Called while the server drains, when nothing may be left to do.
    std::function<void()> became_idle;
    /// Has a call run on another thread, and `done` called on this one. Returns false if this
    /// thread is to run it; then the call is unchanged.
    std::function<bool(Call&, const std::function<void(Result)>& done)> run_elsewhere;
  };
  /// Maps the two memories, which handoff-wire(7), THE QUEUE, specifies, and runs at most
  /// `max_calls` calls at a time. Throws SystemError or InvalidArgument if the memories are not
  /// those of a queue. The context must outlive this object. A master that breaks the protocol
  /// later ends the reactor's run with ProtocolError.
  QueueConsumer(ServerContext& context, Fd masters, Fd ours, std::size_t max_calls, Owner owner);
  QueueConsumer(const QueueConsumer&) = delete;
  QueueConsumer& operator=(const QueueConsumer&) = delete;
  ~QueueConsumer();

  /// Returns whether nothing is left to do, and everything was answered.
  bool idle() const {
    return running_ == 0 && unsent_.empty() && !unpublished_ && !rings_.has_record();
  }
  /// Returns the number of requests whose methods run.
  std::size_t running() const { return running_; }

 private:
  /// What the log says of a request.
  struct Names {
    std::string method;
    std::string peer;
  };
  /// A request whose method runs.
  struct Running {
    std::uint64_t ticket;
    std::size_t size;  ///< the bytes that count as held
    TimePoint begun;
    ledger::MethodSlot slot;             ///< under which it is counted
    std::shared_ptr<const Names> names;  ///< null if calls are not logged
  };
  /// A reply that waits for room.
  struct Reply {
    std::uint64_t ticket;
    Result result;
    std::uint32_t duration;  ///< see QueueReply
  };

  bool poll() override;
  void prepare_to_block() override;
  void stop_blocking() override;
  /// Takes requests as long as it may. Returns whether there were any.
  bool take_requests();
  /// Begins a request unless the master has taken it back, or its deadline has passed.
  void take(const QueueRequest& request);
  /// `method` is null if the request names none.
  void begin(const QueueRequest& request, const Method* method);
  static Task<void> run(std::shared_ptr<QueueConsumer> self,
                        std::shared_ptr<const MethodTable> table, Call call, Running running);
  /// Replies to a request, and counts an error under its method. Returns the code of the error that
  /// is replied, or 0.
  ErrorCode reply(std::uint64_t ticket, ledger::MethodSlot slot, Result result,
                  std::uint32_t duration = 0);
  /// Does that with the result of a method that has answered at once.
  ErrorCode reply_now(std::uint64_t ticket, ledger::MethodSlot slot, std::string_view json);
  void log_answer(const QueueRequest& request, ErrorCode code);
  std::shared_ptr<const Names> names_of(const QueueRequest& request) const;
  /// Writes a reply, or keeps it until there is room.
  void put(Reply reply);
  bool write(const Reply& reply);
  /// Returns whether another request may be taken.
  bool may_take() const;
  void ended(const Running& running, Result result);
  bool send_unsent();
  void publish();

  ServerContext& context_;
  Owner owner_;
  RingEnd rings_;
  std::size_t max_calls_;
  std::string record_;
  std::deque<Reply> unsent_;  ///< replies for which the ring has no room
  std::size_t running_ = 0;
  std::size_t held_ = 0;  ///< the bytes of the requests that run and of unsent_
  MemoryBudget::Share share_;
  std::uint32_t instant_duration_ = 0;  ///< the mean duration of a request that is answered at once
  bool unpublished_ = false;
};

}  // namespace handoff
