// SPDX-License-Identifier: MIT
#include "methods/service_process.hpp"

#include <fmt/format.h>

#include <array>
#include <exception>
#include <utility>

#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>

#include "methods/output_result.hpp"
#include "os/parse_number.hpp"
#include "rpc/reply_error.hpp"
#include "wire/message_writer.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

using Phase = ServicePhase;

/// The most bytes of a line that is not a reply which an error repeats.
constexpr std::size_t kMaxLineInMessage = 100;

Result failure(std::string message) {
  return Result::error(ErrorCode::handler_failed, std::move(message));
}

std::string wrote(std::string_view line) {
  return fmt::format("the coprocess wrote '{}'",
                     trimmed(std::string(line.substr(0, kMaxLineInMessage))));
}

bool has_id(const Reply& reply) {
  return !reply.id.empty() && reply.id != "null";
}

Result result_of_reply(const Reply& reply) {
  if (reply.is_error()) { return error_of_reply(reply); }
  return Result::success(std::string(reply.result));
}

}  // namespace

//             distrusted   last_over   failed
//   open      retired      -           over
//   retired   -            over        over
//   over      -            -           -
ServicePhase next_phase(ServicePhase phase, ServiceEvent event) {
  switch (event) {
    case ServiceEvent::distrusted: return phase == Phase::open ? Phase::retired : phase;
    case ServiceEvent::last_over: return phase == Phase::retired ? Phase::over : phase;
    case ServiceEvent::failed: return Phase::over;
  }
  return phase;
}

ServiceCall::~ServiceCall() {
  if (process_ && !result_) { process_->forget(id_); }
}

void ServiceCall::begin(std::shared_ptr<ServiceProcess> process, std::string_view method,
                        std::string_view params) {
  process_ = std::move(process);
  id_ = process_->begin(*this, method, params);
}

void ServiceCall::finish(Result result) {
  result_ = std::move(result);
  over.set();
}

Result ServiceCall::take_result() {
  if (!result_) { result_ = process_->time_out(id_); }
  process_.reset();
  return std::move(*result_);
}

std::shared_ptr<ServiceProcess> ServiceProcess::start(Reactor& reactor, const StartChild& start,
                                                      Options options) {
  auto child = CoprocessChild::start(reactor, start, options.log);
  std::shared_ptr<ServiceProcess> self(
      new ServiceProcess(reactor, std::move(child), std::move(options)));
  reactor.spawn(receive_all(self));
  return self;
}

ServiceProcess::ServiceProcess(Reactor& reactor, std::shared_ptr<CoprocessChild> child,
                               Options options)
    : Timer(reactor),
      reactor_(reactor),
      child_(std::move(child)),
      options_(std::move(options)),
      held_(*options_.process->memory) {}

void ServiceProcess::handle(ServiceEvent event) {
  const Phase next = next_phase(phase_, event);
  if (next != phase_) { enter(next); }
}

void ServiceProcess::enter(Phase next) {
  phase_ = next;
  if (next != Phase::over) { return; }
  cancel();
  child_->handle(CoprocessEvent::discarded);
  if (options_.changed) { options_.changed(); }
}

bool ServiceProcess::takes_calls() const {
  const std::size_t room = ids_ == ReplyIds::present ? options_.max_calls : 1;
  const bool is_alive =
      child_->phase() != CoprocessPhase::exited && child_->phase() != CoprocessPhase::over;
  return phase_ == Phase::open && is_alive && calls_.size() < room;
}

bool ServiceProcess::check_usable() {
  if (!calls_.empty() || !forgotten_.empty()) { return phase_ == Phase::open; }
  std::array<char, 1> buffer;
  if (child_->is_quiet(buffer)) { return true; }
  handle(ServiceEvent::failed);
  return false;
}

void ServiceProcess::abandon() {
  options_.changed = nullptr;
  fail_all(Result::error(ErrorCode::worker_died, "shutting down"));
}

std::uint64_t ServiceProcess::begin(ServiceCall& call, std::string_view method,
                                    std::string_view params) {
  if (calls_.empty()) { child_->handle(CoprocessEvent::lent); }
  const std::uint64_t id = ++last_id_;
  calls_.emplace(id, Waiting{&call, reads_});
  std::string line;
  append_request(line, Dialect::article, method, minify_json(params), fmt::format_int(id).str());
  child_->ask(line += '\n');
  return id;
}

/// Finishes all calls of the process with this error, and kills it.
void ServiceProcess::fail_all(const Result& why) {
  const std::shared_ptr<ServiceProcess> self = shared_from_this();
  const auto calls = std::exchange(calls_, {});
  handle(ServiceEvent::failed);
  for (const auto& [id, waiting] : calls) { waiting.call->finish(why); }
}

void ServiceProcess::finish(std::uint64_t id, Result result) {
  ServiceCall* call = calls_.at(id).call;
  // A process that has not read the whole request has answered before it knew the question.
  if (ids_ == ReplyIds::absent && !child_->has_read_all()) { handle(ServiceEvent::distrusted); }
  drop_call(id);
  call->finish(std::move(result));
}

/// Removes a call that is over, or for which no client waits any more.
void ServiceProcess::drop_call(std::uint64_t id) {
  calls_.erase(id);
  if (calls_.empty()) {
    child_->handle(CoprocessEvent::answered);
    handle(ServiceEvent::last_over);
  }
  if (options_.changed && takes_calls()) { options_.changed(); }
}

void ServiceProcess::forget(std::uint64_t id) {
  const std::shared_ptr<ServiceProcess> self = shared_from_this();
  const bool is_silent = calls_.at(id).reads == reads_;
  // If replies have ids, a late reply to this call is recognized by its id.
  const bool is_told_apart = ids_ == ReplyIds::present && forgotten_.size() < options_.max_calls;
  if (is_told_apart) { forgotten_.insert(id); }
  if (is_silent || !is_told_apart) { handle(ServiceEvent::distrusted); }
  drop_call(id);
}

Result ServiceProcess::time_out(std::uint64_t id) {
  const bool is_silent = calls_.at(id).reads == reads_ && input_.empty();
  Result result = child_->too_late(is_silent ? Written::nothing : Written::part);
  forget(id);
  return result;
}

Task<void> ServiceProcess::receive_all(std::shared_ptr<ServiceProcess> self) {
  std::array<char, 16 * 1024> buffer;
  try {
    while (self->phase_ != Phase::over) {
      const IoResult result = self->child_->try_read(buffer);
      if (result.done()) {
        ++self->reads_;
        const std::size_t first_new = self->input_.size();
        self->input_.append(buffer.data(), result.size);
        self->deliver_lines(first_new);
        co_await self->reactor_.yield();
      } else if (result.outcome != IoResult::Outcome::would_block ||
                 self->child_->phase() == CoprocessPhase::exited) {
        // Other processes may keep its output open after it has ended.
        self->handle(ServiceEvent::distrusted);
        const Result end =
            co_await CoprocessChild::result_of_end(self->child_, self->options_.times.exit);
        self->fail_all(end);
      } else {
        (void)co_await self->child_->readable();
        // The process has ended while it had no calls, but one may have begun since.
        if (self->child_->phase() == CoprocessPhase::over) {
          self->fail_all(Result::error(ErrorCode::handler_failed, "the coprocess ended"));
        }
      }
    }
  } catch (const std::exception& error) {
    self->fail_all(Result::error(ErrorCode::internal_error, error.what()));
  }
}

/// Delivers the complete lines of `input_`. Its bytes from `first_new` on have just arrived.
void ServiceProcess::deliver_lines(std::size_t first_new) {
  std::size_t start = 0;
  std::size_t end = input_.find('\n', first_new);
  while (end != std::string::npos && phase_ != Phase::over) {
    deliver(std::string_view(input_).substr(start, end - start));
    start = end + 1;
    end = input_.find('\n', start);
  }
  input_.erase(0, start);
  held_.set(input_.size());
  if (phase_ == Phase::over) { return; }
  const bool is_asked_for = !settling_ && !(calls_.empty() && forgotten_.empty());
  if (input_.size() > options_.process->max_output) {
    fail_all(line_too_long());
  } else if (!input_.empty() && !is_asked_for) {
    fail_all(failure("the coprocess wrote more than one line"));
  }
}

Result ServiceProcess::line_too_long() const {
  return failure(fmt::format("the coprocess's line exceeds the limit of {} bytes",
                             options_.process->max_output));
}

void ServiceProcess::deliver(std::string_view line) {
  if (settling_) { return fail_all(failure("the coprocess wrote more than one line")); }
  if (line.size() > options_.process->max_output) { return fail_all(line_too_long()); }
  const std::string copy = padded(line);
  try {
    const Reply reply = parser_.parse(std::string_view(copy).substr(0, line.size()));
    const bool is_first = ids_ == ReplyIds::unknown;
    if (is_first) { ids_ = has_id(reply) ? ReplyIds::present : ReplyIds::absent; }
    const auto id = id_of_call(reply);
    if (!id) { return; }
    if (is_first && ids_ == ReplyIds::absent) {
      settling_ = result_of_reply(reply);
      return set(reactor_.now() + options_.times.settle);
    }
    finish(*id, result_of_reply(reply));
  } catch (const ProtocolError& error) {
    fail_all(failure(fmt::format("{}: {}", wrote(line), error.what())));
  }
}

/// Returns the id of the call that the reply is for, or nothing if that call was forgotten. Throws
/// ProtocolError if the reply is for no call.
std::optional<std::uint64_t> ServiceProcess::id_of_call(const Reply& reply) {
  if (!has_id(reply)) {
    if (ids_ == ReplyIds::present) { throw ProtocolError("it has no id, and the first reply had"); }
    if (calls_.empty()) { throw ProtocolError("no call waits for it"); }
    return calls_.begin()->first;
  }
  const auto id = parse_number<std::uint64_t>(reply.id);
  if (id && calls_.contains(*id)) { return id; }
  if (id && forgotten_.erase(*id) > 0) { return std::nullopt; }
  throw ProtocolError("no call has this id");
}

/// Delivers the first reply, which nothing has followed for a moment.
void ServiceProcess::on_timer() {
  Result result = std::move(*settling_);
  settling_.reset();
  finish(calls_.begin()->first, std::move(result));
}

}  // namespace handoff
