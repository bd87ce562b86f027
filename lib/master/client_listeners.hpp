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
/// workers accept.
class ClientListeners {
 public:
  /// The reactor must outlive this object.
  explicit ClientListeners(Reactor& reactor) : reactor_(reactor) {}
  ClientListeners(const ClientListeners&) = delete;
  ClientListeners& operator=(const ClientListeners&) = delete;

  /// Adds listeners from which the master accepts after begin(). `owner` is called with each
  /// connection.
  void add_accepted(std::vector<Listener> listeners, const AcceptorOwner& owner,
                    const Report& report, const PeerJudge& judge);
  /// Adds listeners from which workers accept, and which the master guards after begin(). `healed`
  /// is called when a listener that a worker has shut down listens again.
  void add_guarded(std::vector<Listener> listeners, const Report& report,
                   const std::function<void(ListenerGuard::Healed)>& healed);

  /// Starts the tasks. This object must outlive them.
  void begin();
  /// Accepts again if it has paused, because there may be room again.
  void resume();
  /// Accepts the clients that wait already, whether there is room or not, if the master accepts.
  void accept_waiting();
  /// Closes the listeners, and so gives up the addresses.
  void close();
  /// Sets which process removes the names in the file system in the end.
  void set_owner(OwnedName::Owner owner);

  /// These return the listeners, their descriptors and their addresses; none after close().
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
