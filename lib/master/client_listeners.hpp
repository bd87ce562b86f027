// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "master/listener_guard.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/owned_name.hpp"
#include "os/peer.hpp"
#include "rpc/acceptor.hpp"

namespace handoff {

/// The listeners that clients connect to. The master accepts from them, or guards them while its
/// workers do.
class ClientListeners {
 public:
  explicit ClientListeners(Reactor& reactor) : reactor_(reactor) {}
  ClientListeners(const ClientListeners&) = delete;
  ClientListeners& operator=(const ClientListeners&) = delete;

  /// Adds listeners from which the master accepts from begin() on, and gives `owner` what connects.
  void add_accepted(std::vector<Listener> listeners, const AcceptorOwner& owner,
                    const Report& report, const PeerJudge& judge);
  /// Adds listeners from which workers accept, and which the master guards from begin() on.
  void add_guarded(std::vector<Listener> listeners, const Report& report,
                   const std::function<void(ListenerGuard::Healed)>& healed);

  /// Starts the tasks. This object must outlive them.
  void begin();
  /// There may be room again for what connects.
  void resume();
  /// Accepts the clients that wait already, room or not, if the master accepts.
  void accept_waiting();
  /// Gives the addresses up.
  void close();
  void set_owner(OwnedName::Owner owner);

  /// There are none after close().
  std::vector<const Listener*> all() const;
  std::vector<int> numbers() const;
  std::vector<std::string> texts() const;

 private:
  Reactor& reactor_;
  std::deque<Acceptor> acceptors_;
  std::deque<ListenerGuard> guards_;
  bool closed_ = false;
};

}  // namespace handoff
