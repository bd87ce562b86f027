// SPDX-License-Identifier: MIT
#include "worker/outbox.hpp"

#include <chrono>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

constexpr auto kRetryPause = std::chrono::milliseconds(10);

}  // namespace

Outbox::Outbox(Reactor& reactor, FdWatcher& channel, Owner owner)
    : reactor_(reactor),
      channel_(channel),
      owner_(std::move(owner)),
      reports_(reactor, [this] { wake(); }),
      depositor_(channel::Type::deposit, owner_of_depositor()),
      returner_(channel::Type::returned, owner_of_returner()),
      some_to_send_(reactor) {}

ConnectionReturner::Owner Outbox::owner_of_returner() {
  ConnectionReturner::Owner owner;
  owner.send = owner_.send;
  owner.has_been_read = owner_.has_been_read;
  owner.not_spilled = [this](const Connection& connection, int error) {
    reports_.finished(connection.id);
    owner_.not_spilled(connection, error);
  };
  owner.not_sent = [this](const Connection& connection, int error) {
    reports_.finished(connection.id);
    owner_.not_sent(connection, error);
  };
  return owner;
}

/// A copy that cannot be sent is dropped: its connection goes on.
ConnectionReturner::Owner Outbox::owner_of_depositor() {
  ConnectionReturner::Owner owner;
  owner.send = owner_.send;
  owner.has_been_read = owner_.has_been_read;
  owner.not_spilled = owner.not_sent = [](const Connection&, int) {};
  return owner;
}

void Outbox::stop() {
  state_ = State::stopped;
  reports_.stop();
  some_to_send_.set();
}

void Outbox::wake() {
  if (state_ == State::stopped) { return; }
  state_ = State::pending;
  some_to_send_.set();
}

void Outbox::post(std::string message, std::vector<Connection> announces) {
  posted_.push_back({std::move(message), std::move(announces)});
  if (state_ == State::idle && posted_.size() == 1 && send_posted()) { return; }
  wake();
}

void Outbox::post_after_reports(std::string message) {
  const auto send_one = [this](const std::string& report) { return send_now(report); };
  const bool may_finish = send_posted() && reports_.send_started(send_one);
  // The end of a connection is reported after its deposit.
  if (may_finish && depositor_.waiting() == 0) { reports_.send_finished(send_one); }
  post(std::move(message));
}

void Outbox::give_back(Connection connection) {
  returner_.add(std::move(connection));
  wake();
}

void Outbox::deposit(Connection copy) {
  depositor_.add(std::move(copy));
  wake();
}

/// What has ended or was returned in one turn of the loop is sent in one message.
// `alive` keeps `self`.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Outbox::run(Outbox& self, [[maybe_unused]] std::shared_ptr<void> alive) {
  while (self.state_ != State::stopped) {
    co_await self.some_to_send_;
    self.some_to_send_.clear();
    for (Sent sent = self.send_all(); sent != Sent::all; sent = self.send_all()) {
      // epoll also reports the channel as writable when the master reads a message.
      try {
        co_await self.channel_.writable();
      } catch (const SystemError&) {
        sent = Sent::blocked;  // epoll has no room: tried again after a pause
      }
      // The channel stays writable while too many descriptors are in flight (ETOOMANYREFS).
      if (sent == Sent::blocked && self.send_all() != Sent::all) {
        co_await self.reactor_.sleep_until(self.reactor_.now() + kRetryPause);
      }
    }
    if (self.state_ == State::stopped) { break; }
    self.state_ = State::idle;
    self.owner_.all_sent();
  }
}

Outbox::Sent Outbox::send_all() {
  const auto send_one = [this](const std::string& report) { return send_now(report); };
  if (!send_posted() || !reports_.send_started(send_one)) { return Sent::blocked; }
  for (ConnectionReturner* one : {&depositor_, &returner_}) {
    switch (one->send()) {
      case ConnectionReturner::Outcome::blocked: return Sent::blocked;
      case ConnectionReturner::Outcome::unread: return Sent::unread;
      case ConnectionReturner::Outcome::all_sent: break;
    }
  }
  return reports_.send_finished(send_one) ? Sent::all : Sent::blocked;
}

/// Returns false if the channel is full.
bool Outbox::send_posted() {
  while (!posted_.empty()) {
    const SendOutcome outcome = owner_.send(posted_.front().message, {}).outcome;
    if (outcome == SendOutcome::would_block) { return false; }
    std::vector<Connection> announced = std::move(posted_.front().announces);
    posted_.pop_front();
    if (!announced.empty()) { owner_.announced(std::move(announced), outcome); }
  }
  return true;
}

/// Returns true also if the master is gone: the receiving task finds that out.
bool Outbox::send_now(const std::string& message) {
  return owner_.send(message, {}).outcome != SendOutcome::would_block;
}

}  // namespace handoff
