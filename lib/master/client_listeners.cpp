// SPDX-License-Identifier: MIT
#include "master/client_listeners.hpp"

#include <utility>

namespace handoff {

void ClientListeners::add_accepted(std::vector<Listener> listeners, const AcceptorOwner& owner,
                                   const Report& report, const PeerJudge& judge) {
  for (Listener& listener : listeners) {
    acceptors_.emplace_back(reactor_, std::move(listener), owner, report, judge);
  }
}

void ClientListeners::add_guarded(std::vector<Listener> listeners, const Report& report,
                                  const std::function<void(ListenerGuard::Healed)>& healed) {
  for (Listener& listener : listeners) {
    guards_.emplace_back(reactor_, std::move(listener), report, healed);
  }
}

void ClientListeners::begin() {
  for (Acceptor& acceptor : acceptors_) { reactor_.spawn(acceptor.run()); }
  for (ListenerGuard& guard : guards_) { reactor_.spawn(guard.run()); }
}

void ClientListeners::resume() {
  for (Acceptor& acceptor : acceptors_) { acceptor.resume(); }
}

void ClientListeners::accept_waiting() {
  for (Acceptor& acceptor : acceptors_) { acceptor.accept_waiting(); }
}

void ClientListeners::close() {
  closed_ = true;
  for (Acceptor& acceptor : acceptors_) { acceptor.close(); }
  for (ListenerGuard& guard : guards_) { guard.close(); }
}

void ClientListeners::set_owner(OwnedName::Owner owner) {
  for (Acceptor& acceptor : acceptors_) { acceptor.set_owner(owner); }
  for (ListenerGuard& guard : guards_) { guard.set_owner(owner); }
}

std::vector<const Listener*> ClientListeners::all() const {
  std::vector<const Listener*> all;
  if (closed_) { return all; }
  for (const Acceptor& acceptor : acceptors_) { all.push_back(&acceptor.listener()); }
  for (const ListenerGuard& guard : guards_) { all.push_back(&guard.listener()); }
  return all;
}

std::vector<int> ClientListeners::numbers() const {
  std::vector<int> numbers;
  for (const Listener* listener : all()) { numbers.push_back(listener->fd()); }
  return numbers;
}

std::vector<std::string> ClientListeners::texts() const {
  std::vector<std::string> texts;
  for (const Listener* listener : all()) { texts.push_back(listener->text()); }
  return texts;
}

}  // namespace handoff
