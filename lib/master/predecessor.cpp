// SPDX-License-Identifier: MIT
#include "master/predecessor.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "os/error.hpp"
#include "os/log.hpp"

namespace handoff {

Predecessor::Predecessor(Reactor& reactor, Owner& owner, Fd channel,
                         std::function<void(std::string_view)> failed)
    : owner_(owner),
      failed_(std::move(failed)),
      link_(std::make_shared<MasterChannel>(reactor, life_events(), traffic_events(),
                                            std::move(channel))) {}

MasterChannel::LifeEvents Predecessor::life_events() {
  MasterChannel::LifeEvents events;
  events.failed = [this](int error) { channel_failed(error); };
  events.master_gone = [this] { master_gone(); };
  return events;
}

MasterChannel::TrafficEvents Predecessor::traffic_events() {
  MasterChannel::TrafficEvents events;
  events.connection_passed = [this](Connection connection) {
    owner_.connection_passed(std::move(connection));
  };
  events.all_passed = [this] { owner_.all_passed(); };
  events.connections_missed = [this](std::size_t count) { connections_missed(count); };
  events.accept_asked = [this] { accept_asked(); };
  return events;
}

void Predecessor::start(std::size_t credits) {
  link_->start(credits, 1, MasterChannel::Ready::later);
}

/// The only function that changes the phase. Returns whether the event that leads to `next` counts.
///
///                              serves    promised  drains  gone
///     this master is ready     promised  -         -       -
///     a LISTENER arrives       drains    drains    -       -
///     the channel has ended    gone      gone      gone    -
bool Predecessor::enter(Phase next) {
  if (next <= phase_) { return false; }
  phase_ = next;
  return true;
}

void Predecessor::say_ready() {
  if (enter(Phase::promised)) { link_->send_ready(); }
}

void Predecessor::finished(std::uint64_t id) {
  if (link_) { link_->finished(id); }
}

void Predecessor::accept_asked() {
  if (enter(Phase::drains)) { owner_.predecessor_drains(); }
}

void Predecessor::master_gone() {
  link_->close();
  link_.reset();
  const Phase before = phase_;
  if (enter(Phase::gone)) { owner_.predecessor_gone(before); }
}

void Predecessor::connections_missed(std::size_t count) {
  failed_(fmt::format("receive {} of the old master: {}", counted(count, "connection"),
                      error_text(EMFILE)));
}

void Predecessor::channel_failed(int error) {
  failed_(fmt::format("the channel to the old master fails: {}", error_text(error)));
}

}  // namespace handoff
