// SPDX-License-Identifier: MIT
// The functions of Worker that accept connections.
#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include <handoff/os/error.hpp>

#include "worker/worker.hpp"

namespace handoff {

ProxyStage::Owner Worker::owner_of_proxies() {
  ProxyStage::Owner owner;
  owner.accepted = [this](Connection connection) { accepted(std::move(connection)); };
  owner.left = [this] {
    changed_.set();
    listeners_.resume();
  };
  return owner;
}

AcceptorOwner Worker::owner_of_acceptors() {
  AcceptorOwner owner;
  owner.accepted = [this](Connection connection) { proxies_.take(std::move(connection)); };
  owner.has_room = [this] {
    return threads_.open_connections() + proxies_.waiting() < options_.credits;
  };
  owner.leaves_to_others = [this] {
    if (link_) { link_->wake_master(channel::Type::listener); }
  };
  return owner;
}

void Worker::accepted(Connection connection) {
  if (link_) {
    own_.accept(connection);
    link_->started(connection.id);
  }
  threads_.serve(std::move(connection));
}

void Worker::listeners_passed(std::vector<Fd> listeners, std::vector<AddressRange> proxies) {
  if (life_.drains()) { return; }
  proxies_.use(std::move(proxies));
  listeners_.replace(std::move(listeners),
                     options_.wake_all ? Sharing::wake_all : Sharing::wake_one);
}

void Worker::listeners_missed() {
  report_(Severity::error, fmt::format("cannot receive the listeners: {}", error_text(EMFILE)));
}

}  // namespace handoff
