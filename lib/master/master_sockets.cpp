// SPDX-License-Identifier: MIT
// The functions of Master that handle its sockets.
#include <utility>

#include "master/master.hpp"

namespace handoff {

ProxyStage::Owner Master::owner_of_proxies() {
  ProxyStage::Owner owner;
  owner.accepted = [this](Connection connection) { accepted(std::move(connection)); };
  owner.burst_ended = [this] { balancer_.flush(); };
  owner.left = [this] {
    changed_.notify_all();
    on_room();
  };
  return owner;
}

void Master::take_sockets(ServerSockets sockets) {
  if (options_.pass == Pass::listener) {
    listeners_.add_guarded(std::move(sockets.listeners), report_,
                           [this](ListenerGuard::Healed healed) { listener_healed(healed); });
  } else {
    AcceptorOwner owner;
    owner.accepted = [this](Connection connection) { proxies_.take(std::move(connection)); };
    owner.has_room = [this] { return has_room(); };
    owner.burst_ended = [this] { balancer_.flush(); };
    listeners_.add_accepted(std::move(sockets.listeners), owner, report_, judge_);
  }
  take_private_sockets(sockets);
}

/// Makes what is served on the sockets that are not for clients.
void Master::take_private_sockets(ServerSockets& sockets) {
  if (sockets.join) {
    join_.emplace(
        reactor_, std::move(*sockets.join),
        [this](Fd channel) { supervisor_.adopt(std::move(channel)); }, report_, judge_);
  }
  if (sockets.control) {
    control_.emplace(reactor_, std::move(*sockets.control), static_cast<ControlOwner&>(*this),
                     report_, judge_);
  }
  if (sockets.status) {
    StatusSource source;
    source.is_ready = [this] { return is_ready(); };
    source.snapshot = [this] { return snapshot(); };
    status_endpoint_.emplace(reactor_, std::move(*sockets.status), std::move(source), report_,
                             judge_);
  }
}

/// A successor leaves these sockets to its predecessor until it is ready.
void Master::open_private_sockets() {
  if (join_) { join_->open(); }
  if (control_) { control_->open(); }
  if (status_endpoint_) { status_endpoint_->open(); }
}

void Master::set_owner_of_names(OwnedName::Owner owner) {
  listeners_.set_owner(owner);
  if (join_) { join_->set_owner(owner); }
  if (control_) { control_->set_owner(owner); }
  if (status_endpoint_) { status_endpoint_->set_owner(owner); }
}

}  // namespace handoff
