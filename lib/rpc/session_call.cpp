// SPDX-License-Identifier: MIT
#include "rpc/session_call.hpp"

#include "rpc/session_calls.hpp"

namespace handoff {
namespace {

/// The most bytes of memory that a text keeps when its call has ended.
constexpr std::size_t kMostKept = 512;

void clear_text(std::string& text) {
  if (text.capacity() > kMostKept) { return std::string().swap(text); }
  text.clear();
}

}  // namespace

void SessionCall::set(SessionCalls& calls, const Request& request, Beginning beginning,
                      ReplyTarget target) {
  calls_ = &calls;
  beginning_ = std::move(beginning);
  target_ = std::move(target);
  method_ = request.method;
  params_ = request.params;
  params_size_ = params_.size();
  id_ = request.id;
  set_view({method_, params_, id_, beginning_.peer, beginning_.deadline});
}

void SessionCall::clear() {
  calls_ = nullptr;
  beginning_.methods.reset();
  target_.batch.reset();
  clear_text(method_);
  clear_text(params_);
  clear_text(id_);
  give_turn();
  aside_.reset();
}

Call SessionCall::take_call() {
  Call call;
  call.method = method_;
  call.params = std::move(params_);
  call.id = id_;
  call.peer = beginning_.peer;
  call.deadline = beginning_.deadline;
  return call;
}

std::string_view SessionCall::quoted_name(std::string& copy) const {
  if (target_.dialect != Dialect::article) { return {}; }
  if (!method().quoted_name.empty()) { return method().quoted_name; }
  copy = quoted_reply_name(method_);
  return copy;
}

void SessionCall::finish(const ResultView& result) {
  calls_->finished(*this, result);
}

void SessionCall::put_aside(const ResultView& result) {
  aside_ = std::make_unique<Result>(
      Result{std::string(result.json), result.code, std::string(result.message)});
}

void SessionCall::end_put_aside() {
  const std::unique_ptr<Result> result = std::move(aside_);
  calls_->finished(*this, *result);
}

}  // namespace handoff
