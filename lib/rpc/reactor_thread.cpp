// SPDX-License-Identifier: MIT
#include "rpc/reactor_thread.hpp"

#include <exception>
#include <utility>

#include "async/event.hpp"
#include "rpc/dispatch.hpp"
#include "rpc/session.hpp"

namespace handoff {

namespace {

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
  std::unique_ptr<Service> service;
};

ReactorThread::ReactorThread(Mailbox& home, const SessionLimits& limits, MakeMethods make_methods,
                             std::atomic<std::int64_t>* requests_left, Owner owner)
    : home_(home),
      limits_(limits),
      make_methods_(std::move(make_methods)),
      requests_left_(requests_left),
      owner_(std::move(owner)),
      inside_(std::make_unique<Inside>()),
      thread_([this] { run_thread(*inside_); }) {}

ReactorThread::~ReactorThread() {
  inside_->mailbox.send([this] {
    if (inside_->service) inside_->service->on_closed = nullptr;
    inside_->stopped.set();
  });
  thread_.join();
}

/// Everything that belongs to the reactor is destroyed on its thread.
void ReactorThread::run_thread(Inside& inside) {
  try {
    inside.make_method_table = make_methods_(inside.reactor);
    inside.service = std::make_unique<Service>(inside.reactor, inside.make_method_table(), limits_);
    Service& service = *inside.service;
    service.requests_left = requests_left_;
    service.on_most_requests = [this] { home_.send(owner_.had_most_requests); };
    service.on_closed = [this](std::uint64_t id) {
      home_.send([this, id] {
        --held_;
        owner_.closed(abandoning_ > 0 ? 0 : id);
      });
    };
    service.on_returned = [this](Connection connection) {
      home_.send([this, moved = std::make_shared<Connection>(std::move(connection))] {
        --held_;
        if (abandoning_ > 0) return owner_.closed(0);
        owner_.returned(std::move(*moved));
      });
    };
    service.on_failed = [this](std::string_view line) {
      home_.send([this, line = std::string(line)] { owner_.failed(line); });
    };
    service.requests_told = &requests_;
    service.calls_told = &calls_;
    inside.reactor.run(wait_for(inside.stopped));
  } catch (...) {
    home_.send([error = std::current_exception()] { std::rethrow_exception(error); });
  }
  inside.make_method_table = nullptr;
  inside.service.reset();
}

void ReactorThread::open(Connection connection) {
  ++held_;
  post([moved = std::make_shared<Connection>(std::move(connection))](Service& service) {
    Session::open(service, std::move(*moved));
  });
}

/// The thread answers, behind all letters that it has sent before.
void ReactorThread::abandon() {
  ++abandoning_;
  post([this](Service& service) {
    service.abandon();
    home_.send([this] { --abandoning_; });
  });
}

void ReactorThread::drain(bool give_back) {
  ++drains_;
  post([this, give_back](Service& service) {
    service.drain(give_back);
    home_.send([this] { --drains_; });
  });
}

void ReactorThread::run(Call call, std::function<void(Result)> done) {
  post([this, moved = std::make_shared<Call>(std::move(call)), done = std::move(done)](
           Service& service) { service.reactor.spawn(run_call(*this, std::move(*moved), done)); });
}

Task<void> ReactorThread::run_call(ReactorThread& thread, Call call,
                                   std::function<void(Result)> done) {
  const std::shared_ptr<const MethodTable> table = thread.inside_->service->table;
  Result result = co_await handoff::run_call(thread.inside_->reactor, *table, std::move(call));
  thread.home_.send([done = std::move(done), result = std::move(result)] { done(result); });
}

void ReactorThread::post(std::function<void(Service&)> what) {
  inside_->mailbox.send([this, what = std::move(what)] { what(*inside_->service); });
}

void ReactorThread::when_it_answers(std::function<void()> then) {
  post([this, then = std::move(then)](Service&) { home_.send(then); });
}

void ReactorThread::reload() {
  post([this](Service& service) {
    try {
      service.table = inside_->make_method_table();
    } catch (const std::exception& error) {
      home_.send([this, problem = std::string(error.what())] { owner_.reload_failed(problem); });
    }
  });
}

}  // namespace handoff
