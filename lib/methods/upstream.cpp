// SPDX-License-Identifier: MIT
#include "methods/upstream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <optional>

#include "async/event.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "rpc/client.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

Result result_of(const Reply& reply) {
  if (!reply.is_error()) return Result::success(std::string(reply.result));
  ErrorResult error = parse_error_result(reply.result);
  if (error.code == 0) {
    error.code = static_cast<int>(ErrorCode::internal_error);
    if (error.message.empty()) error.message = "the server gave an error without a code";
  }
  return Result::error(static_cast<ErrorCode>(error.code), std::move(error.message),
                       std::move(error.data));
}

/// With the longest id that it may be sent with.
std::size_t request_size(const Call& call) {
  std::string without_params;
  append_request(without_params, Dialect::article, call.method, {},
                 fmt::format_int(std::numeric_limits<std::uint64_t>::max()).str());
  return without_params.size() + call.params.size();
}

}  // namespace

/// One connection, from the attempt to make it on. Shared with the coroutines that work on it; once
/// it is closed they end.
class Forward::Link : public std::enable_shared_from_this<Forward::Link> {
 public:
  explicit Link(Forward& owner)
      : owner_(&owner),
        reactor_(owner.reactor_),
        name_(owner.address_.text),
        some_unsent_(reactor_) {}

  void start() { reactor_.spawn(run(shared_from_this())); }

  bool is_connected() const { return client_ != nullptr; }
  /// Gets no more calls, and ends when those that it has are over.
  bool is_retired() const { return retired_; }
  std::size_t calls() const { return waiting_.size(); }
  bool has_room() const {
    return !closed_ && !retired_ && waiting_.size() < owner_->options_.max_calls &&
           (!client_ || client_->queued() < owner_->options_.max_unsent);
  }

  /// Sends the call, which must outlive the task, and waits for its reply. `lost` tells whether the
  /// connection ended before any of it was sent.
  Task<Result> call(const Call& call, bool& lost);
  /// Gives this to every call that waits, and ends the connection. The owner forgets it.
  void close(ErrorCode code, const std::string& message);
  /// The owner is gone.
  void abandon() {
    owner_ = nullptr;
    close(ErrorCode::shutting_down, "shutting down");
  }

 private:
  /// A call, in the frame that waits for it.
  struct Waiting {
    Waiting(Link& of, std::uint64_t number) : link(of), id(number), changed(of.reactor_) {
      link.waiting_.emplace(id, this);
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() {
      link.waiting_.erase(id);
      link.close_if_retired();
    }

    Link& link;
    std::uint64_t id;
    std::uint64_t start = 0;  ///< of its bytes, among all that were queued
    bool lost = false;
    Event changed;
    std::optional<Result> result;
  };

  static Task<void> run(std::shared_ptr<Link> self);
  static Task<void> send(std::shared_ptr<Link> self);
  void deliver(const Reply& reply);
  std::string unasked() const {
    return fmt::format("{} sent something that was no reply to a call", name_);
  }
  void close_if_retired() {
    if (retired_ && waiting_.empty()) close(ErrorCode::timed_out, {});
  }

  Forward* owner_;
  Reactor& reactor_;
  std::string name_;
  std::unique_ptr<Client> client_;
  std::map<std::uint64_t, Waiting*> waiting_;
  std::deque<std::uint64_t> order_;  ///< of the calls, as long as no reply has had an id
  std::string last_error_;           ///< what the server said about no call
  Event some_unsent_;
  std::uint64_t last_id_ = 0;
  bool echoes_ids_ = false;
  bool retired_ = false;
  bool closed_ = false;
};

Task<Result> Forward::Link::call(const Call& call, bool& lost) {
  const std::shared_ptr<Link> self = shared_from_this();
  Waiting waiting(*this, ++last_id_);
  const EventTimeout alarm(reactor_, waiting.changed, call.deadline);
  const auto settled = [&] { return waiting.result || reactor_.now() >= call.deadline; };
  while (!settled() && !client_) {
    co_await waiting.changed;
    waiting.changed.clear();
  }
  const TimePoint sent = Clock::now();
  // A server closes what is idle, and we may not have come to see that.
  if (!settled() && waiting_.size() == 1 && client_->has_ended()) {
    waiting.start = client_->queued_in_all();
    close(ErrorCode::worker_died, fmt::format("{} has closed the connection", name_));
  }
  // It would be taken for the reply to this call.
  if (!settled() && !echoes_ids_ && order_.empty() && client_->has_unread()) {
    waiting.start = client_->queued_in_all();
    close(ErrorCode::worker_died, unasked());
  }
  if (!settled()) {
    waiting.start = client_->queued_in_all();
    client_->queue(call.method, call.params, fmt::format_int(waiting.id).str());
    if (!echoes_ids_) order_.push_back(waiting.id);
    some_unsent_.set();
  }
  while (!settled()) {
    co_await waiting.changed;
    waiting.changed.clear();
  }
  lost = waiting.lost;
  if (waiting.result) co_return std::move(*waiting.result);
  retired_ = retired_ || !client_ || client_->received_at() < sent;
  co_return Result::error(ErrorCode::timed_out, fmt::format("{} did not reply in time", name_));
}

Task<void> Forward::Link::run(std::shared_ptr<Link> self) {
  if (self->closed_) co_return;
  try {
    const TimeLimit limit =
        TimeLimit::after(self->reactor_.now(), self->owner_->options_.connect_timeout);
    std::unique_ptr<Client> client = co_await Client::connect(
        self->reactor_, self->owner_->address_, limit, self->owner_->options_.max_frame,
        {.session = CommandSession::own});
    if (self->closed_) co_return;
    self->client_ = std::move(client);
  } catch (const std::exception& error) {
    if (self->closed_) co_return;
    self->owner_->failed(error.what());
    self->close(ErrorCode::unreachable, error.what());
    co_return;
  }
  self->owner_->connected();
  for (const auto& [id, waiting] : self->waiting_) waiting->changed.set();
  self->reactor_.spawn(send(self));
  try {
    while (!self->closed_) self->deliver(co_await self->client_->receive(kNever));
  } catch (const std::exception& error) {
    std::string problem = error.what();
    if (!self->last_error_.empty()) problem += " (it said: " + self->last_error_ + ")";
    self->close(ErrorCode::worker_died, problem);
  }
}

/// What the calls of one turn of the loop have queued goes out in one write.
Task<void> Forward::Link::send(std::shared_ptr<Link> self) {
  try {
    while (!self->closed_) {
      co_await self->some_unsent_;
      self->some_unsent_.clear();
      co_await self->client_->flush(kNever);
    }
  } catch (const std::exception& error) {
    self->close(ErrorCode::worker_died, error.what());
  }
}

/// A reply with an id that fits no call is dropped. Throws ProtocolError for one without an id when
/// no call waits: it is not known either to what the next ones belong.
void Forward::Link::deliver(const Reply& reply) {
  std::uint64_t id = 0;
  if (!reply.id.empty()) {
    const auto number = parse_number<std::uint64_t>(reply.id);
    if (!number) return;  // none of ours
    id = *number;
    echoes_ids_ = true;
    if (owner_ != nullptr) owner_->echoes_ids_ = true;
    order_.clear();
  } else if (echoes_ids_ || (reply.is_error() && owner_ != nullptr && owner_->echoes_ids_)) {
    // It refuses what it can't read, and reads no more.
    last_error_ = parse_error_result(reply.result).message;
    retired_ = true;
    return;
  } else if (order_.empty()) {
    throw ProtocolError(unasked());
  } else {
    id = order_.front();
    order_.pop_front();
  }
  const auto found = waiting_.find(id);
  if (found == waiting_.end() || found->second->result) return;  // its deadline came first
  found->second->result = result_of(reply);
  found->second->changed.set();
}

void Forward::Link::close(ErrorCode code, const std::string& message) {
  if (closed_) return;
  closed_ = true;
  for (const auto& [id, waiting] : waiting_) {
    if (waiting->result) continue;
    waiting->lost = client_ && client_->written() <= waiting->start;
    waiting->result = Result::error(code, message);
    waiting->changed.set();
  }
  if (client_) client_->interrupt();
  some_unsent_.set();
  if (owner_ != nullptr) owner_->forget(*this);
}

Forward::Forward(Reactor& reactor, Address address, ForwardOptions options)
    : reactor_(reactor),
      address_(std::move(address)),
      options_(options),
      backoff_(options.first_pause, options.last_pause) {}

Forward::~Forward() {
  for (const std::shared_ptr<Link>& link : std::exchange(links_, {})) link->abandon();
}

Task<Result> Forward::call(Call call) {
  // The id takes a few bytes more, and a frame that is too long would cost others their calls.
  if (request_size(call) > options_.max_frame) {
    co_return Result::error(
        ErrorCode::invalid_request,
        fmt::format("the request exceeds the limit of {} bytes on its way to {}",
                    options_.max_frame, address_.text));
  }
  Result result;
  // What was not sent may be sent: once more, for a server that closes every connection.
  bool lost = true;
  for (int i = 0; i < 2 && lost; ++i) {
    const std::shared_ptr<Link> link = take_link(result);
    if (!link) break;
    result = co_await link->call(call, lost);
  }
  co_return result;
}

std::shared_ptr<Forward::Link> Forward::take_link(Result& problem) {
  const bool is_down = !problem_.empty();
  std::shared_ptr<Link> best;
  bool connecting = false;
  for (const std::shared_ptr<Link>& link : links_) {
    connecting = connecting || !link->is_connected();
    // While it is down, only the call that tries waits for the attempt.
    if (!link->has_room() || (is_down && !link->is_connected())) continue;
    if (!best || link->calls() < best->calls()) best = link;
  }
  if (best && best->calls() < options_.calls_before_next) return best;
  if (is_down && (connecting || reactor_.now() < next_attempt_)) {
    if (!best) problem = Result::error(ErrorCode::unreachable, problem_);
    return best;
  }
  const auto in_use = std::count_if(links_.begin(), links_.end(),
                                    [](const auto& link) { return !link->is_retired(); });
  if (static_cast<std::size_t>(in_use) < options_.max_links) {
    links_.push_back(std::make_shared<Link>(*this));
    links_.back()->start();
    return links_.back();
  }
  if (!best) {
    problem = Result::error(ErrorCode::busy,
                            fmt::format("busy: too many calls wait for {} already", address_.text));
  }
  return best;
}

void Forward::connected() {
  problem_.clear();
  backoff_.reset();
}

void Forward::failed(const std::string& problem) {
  problem_ = problem;
  next_attempt_ = Clock::now() + backoff_.next();
}

void Forward::forget(const Link& link) {
  std::erase_if(links_, [&](const auto& other) { return other.get() == &link; });
}

}  // namespace handoff
