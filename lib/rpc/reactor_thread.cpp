// SPDX-License-Identifier: MIT
#include "rpc/reactor_thread.hpp"

#include <exception>
#include <utility>

#include <handoff/async/event.hpp>

#include "rpc/dispatch.hpp"
#include "rpc/session.hpp"

namespace handoff {

namespace {

// The caller keeps the event until the reactor has run the task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> wait_for(Event& event) {
  co_await event;
}

}  // namespace

struct ReactorThread::Inside {
  Inside() : mailbox(reactor), stopped(reactor) {}

  Reactor reactor;
  Mailbox mailbox;
  Event stopped;
  MakeMethodTable make_method_table;
  std::unique_ptr<ServerContext> context;
};

ReactorThread::ReactorThread(Mailbox& home, const SessionLimits& limits, MakeMethods make_methods,
                             ServerContext::Shared shared, Owner owner)
    : home_(home),
      limits_(limits),
      make_methods_(std::move(make_methods)),
      shared_(shared),
      owner_(std::move(owner)),
      inside_(std::make_unique<Inside>()),
      thread_([this] { run_thread(*inside_); }) {}

ReactorThread::~ReactorThread() {
  inside_->mailbox.send([this] {
    if (inside_->context) { inside_->context->forget_owner(); }
    inside_->stopped.set();
  });
  thread_.join();
}

/// Runs on the new thread. Everything that belongs to the reactor is also destroyed there.
void ReactorThread::run_thread(Inside& inside) {
  try {
    inside.make_method_table = make_methods_(inside.reactor);
    ServerContext::Shared shared = shared_;
    shared.counters = &counters_;
    inside.context = std::make_unique<ServerContext>(inside.reactor, inside.make_method_table(),
                                                     limits_, report_home(), shared);
    inside.reactor.run(wait_for(inside.stopped));
  } catch (...) {
    home_.send([error = std::current_exception()] { std::rethrow_exception(error); });
  }
  inside.make_method_table = nullptr;
  inside.context.reset();
}

/// Returns functions that report to `owner_` on the main thread what happens on this one.
ServerContext::Owner ReactorThread::report_home() {
  ServerContext::Owner owner;
  owner.quota_used_up = [this] { home_.send(owner_.quota_used_up); };
  owner.closed = [this](std::uint64_t id, CloseReason why) {
    home_.send([this, id, why] {
      --held_;
      owner_.closed(id, abandoning_ > 0 ? CloseReason::abandoned : why);
    });
  };
  owner.returned = [this](Connection connection) {
    home_.send([this, moved = std::make_shared<Connection>(std::move(connection))] {
      --held_;
      if (abandoning_ > 0) { return owner_.closed(moved->id, CloseReason::abandoned); }
      owner_.returned(std::move(*moved));
    });
  };
  if (owner_.deposited) {
    owner.deposited = [this](Connection copy) {
      home_.send([this, moved = std::make_shared<Connection>(std::move(copy))] {
        if (abandoning_ == 0) { owner_.deposited(std::move(*moved)); }
      });
    };
  }
  owner.failed = [this](std::string_view line) {
    home_.send([this, line = std::string(line)] { owner_.failed(line); });
  };
  return owner;
}

void ReactorThread::open(Connection connection) {
  ++held_;
  post([moved = std::make_shared<Connection>(std::move(connection))](ServerContext& context) {
    Session::open(context, std::move(*moved));
  });
}

/// The thread answers after all reports that it has sent before; until then, these count as reports
/// of abandoned connections.
void ReactorThread::abandon() {
  ++abandoning_;
  post([this](ServerContext& context) {
    context.abandon();
    home_.send([this] { --abandoning_; });
  });
}

void ReactorThread::drain(WhenDrained what) {
  ++drains_;
  post([this, what](ServerContext& context) {
    context.drain(what);
    home_.send([this] { --drains_; });
  });
}

void ReactorThread::run(Call call, std::function<void(Result)> done) {
  post([this, moved = std::make_shared<Call>(std::move(call)),
        done = std::move(done)](ServerContext& context) {
    context.reactor().spawn(run_call(*this, std::move(*moved), done));
  });
}

// The thread outlives its own reactor, which owns the task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> ReactorThread::run_call(ReactorThread& thread, Call call,
                                   std::function<void(Result)> done) {
  const std::shared_ptr<const MethodTable> table = thread.inside_->context->methods();
  Result result = co_await handoff::run_call(thread.inside_->reactor, *table, std::move(call));
  // The reference is a parameter of the lambda's copy constructor, and none of the coroutine.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  thread.home_.send([done = std::move(done), result = std::move(result)] { done(result); });
}

void ReactorThread::post(std::function<void(ServerContext&)> what) {
  inside_->mailbox.send([this, what = std::move(what)] { what(*inside_->context); });
}

void ReactorThread::when_it_answers(std::function<void()> then) {
  post([this, then = std::move(then)](ServerContext&) { home_.send(then); });
}

void ReactorThread::reload() {
  post([this](ServerContext& context) {
    try {
      context.replace_methods(inside_->make_method_table());
    } catch (const std::exception& error) {
      home_.send([this, problem = std::string(error.what())] { owner_.reload_failed(problem); });
    }
  });
}

}  // namespace handoff
