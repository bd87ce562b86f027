// SPDX-License-Identifier: MIT
#include <poll.h>

#include <exception>
#include <optional>
#include <utility>

#include <handoff/async/task.hpp>
#include <handoff/rpc/blocking_client.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {
namespace {

/// The value or the exception with which a task has ended; both are empty until then.
template <typename T>
struct Outcome {
  std::optional<T> value;
  std::exception_ptr error;
};

template <typename T>
Task<void> note_outcome(Task<T> task, std::shared_ptr<Outcome<T>> outcome) {
  try {
    outcome->value.emplace(co_await std::move(task));
  } catch (...) { outcome->error = std::current_exception(); }
}

/// Runs the reactor until the task has ended. Unlike Reactor::run() it leaves the other tasks,
/// which belong to the connection, where they are until the next call.
template <typename T>
T wait_for(Reactor& reactor, Task<T> task) {
  const auto outcome = std::make_shared<Outcome<T>>();
  reactor.spawn(note_outcome(std::move(task), outcome));
  for (;;) {
    reactor.run_once();
    if (outcome->error) { std::rethrow_exception(outcome->error); }
    if (outcome->value) { return std::move(*outcome->value); }
    pollfd ready{reactor.fd(), POLLIN, 0};
    poll(&ready, 1, reactor.timeout());
  }
}

}  // namespace

BlockingClient::BlockingClient(Address address, TimePoint deadline, std::uint32_t max_frame)
    : name_(address.text),
      client_(
          wait_for(reactor_, Client::connect(reactor_, std::move(address), deadline, max_frame))) {}

BlockingClient::BlockingClient(Fd socket, std::string name, std::uint32_t max_frame)
    : name_(std::move(name)),
      client_(std::make_unique<Client>(reactor_, std::move(socket), name_, max_frame)) {}

BlockingClient::~BlockingClient() = default;

Result BlockingClient::call(std::string method, std::string params, TimePoint deadline) {
  if (!client_) {
    throw ConnectionLost("cannot call " + name_ + ": the connection was closed here");
  }
  return wait_for(reactor_, client_->call(std::move(method), std::move(params), deadline));
}

void BlockingClient::close() {
  if (!client_) { return; }
  client_.reset();
  reactor_.run_once();  // a task that is still writing also owns the connection
}

}  // namespace handoff
