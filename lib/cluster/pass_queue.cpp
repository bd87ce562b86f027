// SPDX-License-Identifier: MIT
#include "cluster/pass_queue.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "os/fd.hpp"

namespace handoff {
namespace {

/// Descriptors that are kept back from clients: those of the master itself, and of workers that
/// start.
constexpr std::size_t kReservedDescriptors = 128;

/// Bytes that a record may have besides a frame's: the client's address.
constexpr std::size_t kMaxPeer = 256;

/// The worker has the same deadline, and more to say about it.
constexpr auto kGrace = std::chrono::milliseconds(100);

/// Waits for its answer in a coroutine.
class AwaitedCall final : public QueuedCall {
 public:
  AwaitedCall(Reactor& reactor, Queue& queue, Call what)
      : QueuedCall(std::move(what)), came(reactor), queue_(queue) {}
  ~AwaitedCall() { queue_.cancel(*this); }

  Event came;
  std::optional<Result> result;

 private:
  void answered(Result given) override {
    result = std::move(given);
    came.set();
  }

  Queue& queue_;
};

Queue::Options queue_options(const PassQueue::Options& options) {
  return {options.queue_limit, options.limits.max_frame + kMaxPeer, options.idempotent};
}

/// As many calls are in the queue as may; as many more wait for a place in it, while their
/// connections are not read.
SessionLimits session_limits(const PassQueue::Options& options) {
  SessionLimits limits = options.limits;
  limits.concurrency = limits.max_waiting = options.queue_limit;
  limits.reads_on_when_full = false;
  return limits;
}

}  // namespace

PassQueue::PassQueue(Reactor& reactor, const Options& options, std::function<void()> changed)
    : reactor_(reactor),
      queue_(reactor, queue_options(options)),
      service_(reactor, nullptr, session_limits(options)) {
  auto handlers = std::make_shared<Handlers>();
  handlers->add("*", [this](Call what) { return call(std::move(what)); });
  service_.handlers = std::move(handlers);
  service_.on_closed = [changed = std::move(changed)](std::uint64_t) { changed(); };
  service_.on_returned = [this](LiveConnection connection) {
    returned_.work_arrived(Work::from(std::move(connection)));
    returned_.flush();
  };
}

void PassQueue::worker_left(WorkerLink& link) {
  returned_.worker_left(link);
  queue_.retire(link);
}

void PassQueue::worker_gone(WorkerLink& link) {
  returned_.worker_gone(link);
  queue_.remove(link);
}

void PassQueue::successor_joined(WorkerLink& link) {
  has_successor_ = true;
  returned_.worker_joined(link);
}

/// Accepted, or passed by a predecessor.
void PassQueue::work_arrived(Work work) {
  if (has_successor_) return returned_.work_arrived(std::move(work));
  Session::open(service_, work.to_connection());
}

bool PassQueue::can_take() const {
  return service_.open + kReservedDescriptors < descriptor_limit();
}

Task<Result> PassQueue::call(Call call) {
  const TimePoint deadline =
      call.deadline > kNever - kGrace ? kNever : call.deadline + Duration(kGrace);
  AwaitedCall awaited(reactor_, queue_, std::move(call));
  queue_.submit(awaited);
  const Alarm alarm(reactor_, awaited.came, deadline);
  co_await awaited.came;
  if (awaited.result) co_return std::move(*awaited.result);
  co_return Result::error(ErrorCode::timed_out, "the call was not answered in time");
}

}  // namespace handoff
