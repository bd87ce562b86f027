// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/rpc/method_table.hpp>
#include <handoff/wire/dialect.hpp>
#include <handoff/wire/request.hpp>

#include "async/deadlines.hpp"
#include "async/linked_list.hpp"
#include "async/semaphore.hpp"
#include "rpc/batch_replies.hpp"
#include "rpc/pending_call.hpp"
#include "rpc/reply_order.hpp"

namespace handoff {

class SessionCalls;

/// How the reply to a request is understood, and with which others it goes back.
struct ReplyTarget {
  Dialect dialect = Dialect::article;
  bool is_wanted = true;  ///< not by a notification
  std::shared_ptr<BatchReplies> batch{};
};

/// A request of a client, from when it is found to take time until its reply leaves, or is kept
/// with the others of its batch. Its memory is used again by the next requests.
class SessionCall final : public PendingCall,
                          public Deadlines::Entry,
                          public ReplyOrder::Place,
                          public ListNode<> {
 public:
  /// Bytes that a call takes besides its texts.
  static constexpr std::size_t kSize = 1024;

  /// What is there of a call besides its request.
  struct Beginning {
    std::shared_ptr<const MethodTable> methods;  ///< keeps `method` alive
    const Method* method;
    std::string_view peer;  ///< valid until the call has ended
    TimePoint deadline;
    TimePoint begun;  ///< ServerContext::start_of_call()
  };
  /// Copies the request.
  void set(SessionCalls& calls, const Request& request, Beginning beginning, ReplyTarget target);
  /// Forgets the request, and memory that few calls need.
  void clear();

  const Method& method() const { return *beginning_.method; }
  const ReplyTarget& target() const { return target_; }
  std::string_view id() const { return id_; }
  TimePoint begun() const { return beginning_.begun; }
  /// Bytes that the client makes us hold for it.
  std::size_t held() const { return kSize + 2 * method_.size() + 2 * id_.size() + params_size_; }
  /// For a handler. The params are moved.
  Call take_call();
  /// What the reply says in "out", as a JSON string; `copy` may be used for it.
  std::string_view quoted_name(std::string& copy) const;

  /// Its place among all calls that run; without one it waits.
  bool may_run() const { return static_cast<bool>(turn_); }
  void take_turn(Semaphore& places) { turn_ = SemaphorePlace(places); }
  SemaphorePlace give_turn() { return std::move(turn_); }

  /// The result of a call that has ended while others began, and is to be ended soon.
  bool is_put_aside() const { return aside_ != nullptr; }
  void put_aside(const ResultView& result);
  void end_put_aside();

 private:
  void finish(const ResultView& result) override;
  void on_deadline() override { method().executor->time_out(*this); }

  SessionCalls* calls_ = nullptr;
  Beginning beginning_{};
  ReplyTarget target_;
  std::string method_;
  std::string params_;
  std::string id_;
  std::size_t params_size_ = 0;
  SemaphorePlace turn_;
  std::unique_ptr<Result> aside_;
};

}  // namespace handoff
