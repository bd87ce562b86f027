// SPDX-License-Identifier: MIT
#include "worker/serving_threads.hpp"

#include <fmt/format.h>

#include <memory>
#include <numeric>
#include <utility>

#include "rpc/session.hpp"

namespace handoff {
namespace {

std::size_t rounded_up(std::size_t number, std::size_t parts) {
  return (number + parts - 1) / parts;
}

/// Returns the limits of one thread.
SessionLimits share_of(const WorkerOptions& options) {
  SessionLimits limits = options.limits;
  limits.synchronous = limits.concurrency == 1;
  limits.concurrency = rounded_up(limits.concurrency, options.threads);
  limits.max_waiting = rounded_up(limits.max_waiting, options.threads);
  return limits;
}

}  // namespace

ServingThreads::ServingThreads(Reactor& reactor, const MakeMethods& make_methods,
                               const WorkerOptions& options, const Owner& owner)
    : report_(owner.report),
      make_method_table_(make_methods(reactor)),
      quota_(options.limits_requests()
                 ? std::make_unique<RequestQuota>(static_cast<std::int64_t>(options.max_requests))
                 : nullptr),
      context_(reactor, make_method_table_(), share_of(options),
               {.closed = owner.closed,
                .returned = owner.returned,
                .deposited = owner.deposited,
                .failed = owner.failed,
                .quota_used_up = owner.quota_used_up},
               {.quota = quota_.get(), .calls = options.calls}) {
  method_slots_.add(context_.methods()->names());
  if (options.threads > 1) { mailbox_.emplace(reactor); }
  for (std::size_t i = 1; i < options.threads; ++i) {
    ReactorThread::Owner of;
    of.closed = owner.closed;
    of.returned = owner.returned;
    of.deposited = owner.deposited;
    of.quota_used_up = owner.quota_used_up;
    of.failed = owner.failed;
    of.reload_failed = [this](const std::string& problem) { report_(Severity::error, problem); };
    const ServerContext::Shared shared{.quota = quota_.get(), .calls = options.calls};
    threads_.emplace_back(*mailbox_, share_of(options), make_methods, shared, std::move(of));
  }
}

void ServingThreads::serve(Connection connection) {
  ReactorThread* best = nullptr;
  for (ReactorThread& thread : threads_) {
    if (thread.held() < (best == nullptr ? context_.open_connections() : best->held())) {
      best = &thread;
    }
  }
  if (best != nullptr) { return best->open(std::move(connection)); }
  Session::open(context_, std::move(connection));
}

bool ServingThreads::run_elsewhere(Call& call, const std::function<void(Result)>& done) {
  next_ = (next_ + 1) % (threads_.size() + 1);
  if (next_ == threads_.size()) { return false; }
  threads_[next_].run(std::move(call), done);
  return true;
}

void ServingThreads::count_in(const std::shared_ptr<const ledger::Ledger>& ledger) {
  method_slots_.use(ledger);
  context_.count_in(ledger, 0);
  std::uint32_t number = 0;
  for (ReactorThread& thread : threads_) {
    ++number;
    thread.post([ledger, number](ServerContext& context) { context.count_in(ledger, number); });
  }
}

void ServingThreads::be_lame_duck() {
  context_.be_lame_duck();
  for (ReactorThread& thread : threads_) {
    thread.post([](ServerContext& context) { context.be_lame_duck(); });
  }
}

void ServingThreads::drain(WhenDrained what) {
  context_.drain(what);
  for (ReactorThread& thread : threads_) { thread.drain(what); }
}

void ServingThreads::resume() {
  context_.resume();
  for (ReactorThread& thread : threads_) {
    thread.post([](ServerContext& context) { context.resume(); });
  }
}

void ServingThreads::abandon() {
  context_.abandon();
  for (ReactorThread& thread : threads_) { thread.abandon(); }
}

void ServingThreads::reload() {
  try {
    std::shared_ptr<const MethodTable> methods = make_method_table_();
    method_slots_.add(methods->names());
    context_.replace_methods(std::move(methods));
    for (ReactorThread& thread : threads_) { thread.reload(); }
    report_(Severity::info,
            fmt::format("reloaded, {}", counted(context_.methods()->names().size(), "method")));
  } catch (const std::exception& error) {
    report_(Severity::error, fmt::format("{}; the methods stay as they were", error.what()));
  }
}

void ServingThreads::when_all_answer(const std::function<void()>& then) {
  if (threads_.empty()) { return then(); }
  const auto awaited = std::make_shared<std::size_t>(threads_.size());
  for (ReactorThread& thread : threads_) {
    thread.when_it_answers([awaited, then] {
      if (--*awaited == 0) { then(); }
    });
  }
}

std::size_t ServingThreads::open_connections() const {
  return std::accumulate(
      threads_.begin(), threads_.end(), context_.open_connections(),
      [](std::size_t sum, const ReactorThread& thread) { return sum + thread.held(); });
}

std::uint64_t ServingThreads::requests() const {
  return std::accumulate(
      threads_.begin(), threads_.end(), context_.requests(),
      [](std::uint64_t sum, const ReactorThread& thread) { return sum + thread.requests(); });
}

bool ServingThreads::has_used_up_quota() const {
  return quota_ && quota_->is_used_up();
}

}  // namespace handoff
