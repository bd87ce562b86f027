// SPDX-License-Identifier: MIT
#include "master/client_sessions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/log.hpp"
#include "os/sealed_memory.hpp"
#include "rpc/session.hpp"

namespace handoff {
namespace {

/// The descriptors that clients cannot have: those of the master itself, and of what it starts.
constexpr std::size_t kReserved = 64;
constexpr std::size_t kReservedPerWorker = 6;
constexpr std::size_t kReservedPerThread = 3;

/// The bytes that a record may have in addition to a frame's: the client's address.
constexpr std::size_t kMaxPeer = 256;

/// Returns a table in which `executor` answers every method.
std::shared_ptr<const MethodTable> all_methods(CallExecutor& executor) {
  auto table = std::make_shared<MethodTable>();
  table->add_executor("*", executor);
  return table;
}

/// Returns how many calls of the limit each I/O thread may have.
std::size_t share_of_limit(const ClientSessions::Options& options) {
  return (options.queue_limit + options.io_threads - 1) / options.io_threads;
}

Queue::Options queue_options(const ClientSessions::Options& options) {
  return {share_of_limit(options) * options.io_threads, options.limits.max_frame + kMaxPeer,
          options.idempotent};
}

/// The queue takes as many calls as it may, and as many more wait for a place in it, while their
/// connections are not read.
SessionLimits session_limits(const ClientSessions::Options& options) {
  SessionLimits limits = options.limits;
  limits.concurrency = limits.max_waiting = share_of_limit(options);
  limits.reads_on_when_full = false;
  return limits;
}

std::shared_ptr<const ledger::Ledger> make_counters(std::size_t threads) {
  auto [ledger, file] = ledger::Ledger::make({.threads = static_cast<std::uint32_t>(threads)});
  return std::make_shared<const ledger::Ledger>(std::move(ledger));
}

}  // namespace

ClientSessions::ClientSessions(Reactor& reactor, Balancer& balancer, const Options& options,
                               const std::function<void(std::uint64_t)>& closed,
                               const std::function<void(std::string_view)>& failed)
    : reactor_(reactor),
      balancer_(balancer),
      closed_(closed),
      failed_(failed),
      io_threads_(options.io_threads),
      expected_workers_(options.workers),
      queue_(reactor, queue_options(options)),
      context_(reactor, all_methods(queue_), session_limits(options),
               {.closed = [this](std::uint64_t id, CloseReason) { closed_(id); },
                .returned = [this](Connection back) { give_to_successor(std::move(back)); },
                .failed = failed_},
               {.calls = options.calls}) {
  check_limits(options);
  counters_ = make_counters(options.io_threads);
  if (options.io_threads <= 1) { context_.count_in(counters_, 0); }
  if (options.io_threads > 1) { mailbox_.emplace(reactor_); }
  for (std::size_t i = 0; options.io_threads > 1 && i < options.io_threads; ++i) {
    ReactorThread::Owner owner;
    owner.closed = [this](std::uint64_t id, CloseReason) { closed_(id); };
    owner.returned = [this](Connection back) { give_to_successor(std::move(back)); };
    owner.failed = failed_;
    RemoteQueue& remote = remotes_.emplace_back(
        queue_, *mailbox_,
        [this, i](std::function<void()> what) {
          threads_[i].post([what = std::move(what)](ServerContext&) { what(); });
        },
        Queue::times_out);
    const auto make_methods = [&remote](Reactor&) -> MakeMethodTable {
      return [&remote] { return all_methods(remote); };
    };
    threads_.emplace_back(*mailbox_, session_limits(options), make_methods,
                          ServerContext::Shared{.calls = options.calls}, std::move(owner));
    threads_.back().post([counters = counters_, number = static_cast<std::uint32_t>(i)](
                             ServerContext& context) { context.count_in(counters, number); });
  }
}

void ClientSessions::check_limits(const Options& options) {
  if (most_connections(descriptor_limit(), options.io_threads, options.workers) == 0) {
    throw InvalidArgument(fmt::format("a limit of {} descriptors (ulimit -n) is not enough for {}",
                                      descriptor_limit(), counted(options.workers, "worker")));
  }
  const std::size_t size = Queue::memory_size(queue_options(options));
  if (size > file_size_limit()) {
    throw InvalidArgument(fmt::format(
        "a file size limit of {} bytes (ulimit -f) is not enough for a queue of {} bytes (lower "
        "--max-frame)",
        file_size_limit(), size));
  }
}

void ClientSessions::check(const Options& options) {
  Queue::check_memory();
  check_limits(options);
}

/// A connection is closed if there is no memory to spill its bytes.
void ClientSessions::give_to_successor(Connection connection) {
  const std::uint64_t id = connection.id;
  try {
    connection.spill_to_memfd();
    balancer_.pass({std::move(connection)});
    balancer_.flush();
  } catch (const std::exception&) { ++lost_; }
  closed_(id);
}

std::size_t ClientSessions::most_connections() const {
  return most_connections(limit_, io_threads_, std::max(expected_workers_, queue_.workers()));
}

std::size_t ClientSessions::most_connections(std::size_t limit, std::size_t io_threads,
                                             std::size_t workers) {
  const std::size_t reserved =
      kReserved + kReservedPerThread * io_threads + kReservedPerWorker * workers;
  return limit > reserved ? limit - reserved : 0;
}

/// The thread with the fewest connections serves it.
void ClientSessions::open(Connection connection) {
  connection.load_spilled(context_.limits().max_unused());
  if (threads_.empty()) { return Session::open(context_, std::move(connection)); }
  std::min_element(threads_.begin(), threads_.end(),
                   [](const ReactorThread& one, const ReactorThread& other) {
                     return one.held() < other.held();
                   })
      ->open(std::move(connection));
}

void ClientSessions::be_lame_duck() {
  context_.be_lame_duck();
  for (ReactorThread& thread : threads_) {
    thread.post([](ServerContext& context) { context.be_lame_duck(); });
  }
}

void ClientSessions::drain(channel::Drain how) {
  const WhenDrained what = how.give_back ? WhenDrained::give_back : WhenDrained::close;
  context_.drain(what);
  for (ReactorThread& thread : threads_) { thread.drain(what); }
}

std::size_t ClientSessions::open_connections() const {
  return std::accumulate(
      threads_.begin(), threads_.end(), context_.open_connections(),
      [](std::size_t sum, const ReactorThread& thread) { return sum + thread.held(); });
}

/// A call that a worker has got is answered by it even if it drains.
bool ClientSessions::needs_workers() const {
  std::size_t calls = context_.active_calls();
  for (const ReactorThread& thread : threads_) {
    if (!thread.has_drained()) { return true; }
    calls += thread.active_calls();
  }
  return calls > queue_.counts().running;
}

}  // namespace handoff
