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

/// Where the reply to a request goes: in which dialect, and with which others.
struct ReplyTarget {
  Dialect dialect = Dialect::article;
  bool is_wanted = true;  ///< false for a notification
  /// The batch that the request is part of; null: none.
  std::shared_ptr<BatchReplies> batch{};
};

/// A request that takes time, from when this is found out until its reply leaves or is kept with
/// the others of its batch. The objects and their memory are used again for later requests. Used on
/// the reactor's thread only.
class SessionCall final : public PendingCall,
                          public Deadlines::Entry,
                          public ReplyOrder::Place,
                          public ListNode<> {
 public:
  /// The number of bytes that a call counts for besides its texts.
  static constexpr std::size_t kSize = 1024;

  /// What belongs to a call besides its request.
  struct Beginning {
    std::shared_ptr<const MethodTable> methods;  ///< keeps `method` alive
    const Method* method;
    std::string_view peer;  ///< valid until the call has ended
    TimePoint deadline;
    TimePoint begun;  ///< from ServerContext::start_of_call()
  };
  /// Begins to represent a call. Copies the request.
  void set(SessionCalls& calls, const Request& request, Beginning beginning, ReplyTarget target);
  /// Forgets the call, and frees memory that few calls need.
  void clear();

  /// The functions below describe the call; they are valid between set() and clear().
  const Method& method() const { return *beginning_.method; }
  const ReplyTarget& target() const { return target_; }
  std::string_view id() const { return id_; }
  TimePoint begun() const { return beginning_.begun; }
  /// Returns the number of bytes that the client makes this process hold for the call.
  std::size_t held() const { return kSize + 2 * method_.size() + 2 * id_.size() + params_size_; }
  /// Returns the call for a handler; the params are moved out. Call it once.
  Call take_call();
  /// Returns what the reply says in "out", as a JSON string, or nothing where replies do not say
  /// it. The text may be put into `copy`, which must outlive it.
  std::string_view quoted_name(std::string& copy) const;

  /// Returns whether the call has a place among all running calls. Without one it waits.
  bool may_run() const { return static_cast<bool>(turn_); }
  /// Takes over a place that was acquired from `places`.
  void take_turn(Semaphore& places) { turn_ = SemaphorePlace(places); }
  /// Gives the place up: to the caller, or back to the semaphore if the caller drops it.
  SemaphorePlace give_turn() { return std::move(turn_); }

  /// These keep the result of a call that has ended while another call was being begun; see
  /// HeldEnds. end_put_aside() ends the call with it.
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
