// SPDX-License-Identifier: MIT
#include "master/remote_queue.hpp"

namespace handoff {
namespace {

/// The most bytes of memory that a text keeps when its call is over.
constexpr std::size_t kMostKept = 512;

void clear_text(std::string& text) {
  if (text.capacity() > kMostKept) { return std::string().swap(text); }
  text.clear();
}

}  // namespace

/// A call on both threads. Each thread has members of its own. The members that both need, the
/// call's texts and its result, belong to the thread that the call was last sent to.
class RemoteQueue::RemoteCall final : public PendingCall {
 public:
  explicit RemoteCall(RemoteQueue& remote) : remote_(remote) {}

  // The functions for the I/O thread.

  void wait_for(PendingCall& call) {
    waiting_ = &call;
    const CallView& view = call.view();
    method_ = view.method;
    params_ = view.params;
    id_ = view.id;
    peer_ = view.peer;
    set_view({method_, params_, id_, peer_, view.deadline});
  }
  /// Says that the call does not wait for the result any more.
  void forget() { waiting_ = nullptr; }
  void deliver() {
    if (PendingCall* call = std::exchange(waiting_, nullptr)) { call->finish(result_); }
    for (std::string* text : {&method_, &params_, &id_, &peer_, &result_.json, &result_.message}) {
      clear_text(*text);
    }
  }

  // The functions for the main thread.

  bool is_queued() const { return is_queued_; }
  void submit() {
    is_queued_ = true;
    remote_.queue_.begin(*this);
  }
  /// Takes the call out of the queue. Returns whether it was still there.
  bool withdraw() {
    if (!is_queued_) { return false; }
    remote_.queue_.cancel(*this);
    is_queued_ = false;
    return true;
  }

 private:
  void finish(const ResultView& result) override {
    is_queued_ = false;
    result_.json = result.json;
    result_.code = result.code;
    result_.message = result.message;
    remote_.give_back(*this);
  }

  RemoteQueue& remote_;
  PendingCall* waiting_ = nullptr;
  bool is_queued_ = false;
  std::string method_;
  std::string params_;
  std::string id_;
  std::string peer_;
  Result result_;
};

RemoteQueue::RemoteQueue(CallExecutor& queue, Mailbox& home, Post post, TimesOut times_out)
    : queue_(queue), home_(home), post_(std::move(post)), times_out_(times_out) {}

RemoteQueue::~RemoteQueue() {
  for (const auto& call : calls_) { call->withdraw(); }
}

TimePoint RemoteQueue::begin(PendingCall& call) {
  RemoteCall& remote = take_free();
  remote.wait_for(call);
  call.set_ticket(reinterpret_cast<std::uintptr_t>(&remote));
  send_home(remote, Order::submit);
  return times_out_(call.view().deadline);
}

void RemoteQueue::cancel(PendingCall& call) {
  auto& remote = *reinterpret_cast<RemoteCall*>(static_cast<std::uintptr_t>(call.ticket()));
  remote.forget();
  send_home(remote, Order::withdraw);
}

void RemoteQueue::time_out(PendingCall& call) {
  cancel(call);
  call.finish(ResultView::error(ErrorCode::timed_out, "the call was not answered in time"));
}

RemoteQueue::RemoteCall& RemoteQueue::take_free() {
  if (free_.empty()) { return *calls_.emplace_back(std::make_unique<RemoteCall>(*this)); }
  RemoteCall& call = *free_.back();
  free_.pop_back();
  return call;
}

void RemoteQueue::send_home(RemoteCall& call, Order order) {
  if (orders_.push({&call, order})) {
    home_.send([this] { obey(); });
  }
}

/// Runs on the main thread. A call that is withdrawn after it was answered is already on its way
/// back.
void RemoteQueue::obey() {
  orders_.take_all(obeying_);
  for (const auto& [call, order] : obeying_) {
    if (order == Order::submit) {
      call->submit();
    } else if (call->withdraw()) {
      give_back(*call);
    }
  }
}

void RemoteQueue::give_back(RemoteCall& call) {
  if (answers_.push(&call)) {
    post_([this] { deliver(); });
  }
}

/// Runs on the I/O thread.
void RemoteQueue::deliver() {
  answers_.take_all(delivering_);
  for (RemoteCall* call : delivering_) {
    call->deliver();
    free_.push_back(call);
  }
}

}  // namespace handoff
