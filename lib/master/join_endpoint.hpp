// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "async/reactor.hpp"
#include "os/fd.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "rpc/acceptor.hpp"

namespace handoff {

/// The named socket where workers join. Each process that connects is judged by its user.
class JoinEndpoint {
 public:
  /// `joined` gets the channel of each worker.
  JoinEndpoint(Reactor& reactor, Listener listener, std::function<void(Fd channel)> joined,
               Report report, PeerJudge judge);

  const Listener& listener() const { return acceptor_.listener(); }
  /// Lets workers join from now on; a second call changes nothing. It must outlive the reactor's
  /// tasks.
  void open();
  /// Gives the name up.
  void close() { acceptor_.close(); }
  void set_owner(OwnedName::Owner owner) { acceptor_.set_owner(owner); }

 private:
  Reactor& reactor_;
  Acceptor acceptor_;
};

}  // namespace handoff
