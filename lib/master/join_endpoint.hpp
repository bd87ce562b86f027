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
  /// Calls `joined` with the channel of each worker that connects and is admitted. The reactor must
  /// outlive this object.
  JoinEndpoint(Reactor& reactor, Listener listener, std::function<void(Fd channel)> joined,
               Report report, PeerJudge judge);

  const Listener& listener() const { return acceptor_.listener(); }
  /// Lets workers join from now on; a second call changes nothing. This object must outlive the
  /// reactor's tasks.
  void open();
  /// Closes the socket, and so gives up its name.
  void close() { acceptor_.close(); }
  /// Sets which process removes the name in the end.
  void set_owner(OwnedName::Owner owner) { acceptor_.set_owner(owner); }

 private:
  Reactor& reactor_;
  Acceptor acceptor_;
};

}  // namespace handoff
