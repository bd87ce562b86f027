// SPDX-License-Identifier: MIT
#pragma once

#include <list>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "os/address.hpp"
#include "os/fd.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "rpc/acceptor.hpp"

namespace handoff {

/// The listening sockets that a worker accepts from: its own, or those that its master has passed.
class WorkerListeners {
 public:
  /// What close() does with clients that wait in a backlog.
  enum class Waiting {
    accept,  ///< accepts them, because no other process accepts from the sockets
    leave,
  };

  /// `report` is called with failures of a socket. A peer that `judge` refuses is turned away. The
  /// reactor must outlive this object, which must outlive the reactor's run.
  WorkerListeners(Reactor& reactor, AcceptorOwner owner, Report report, PeerJudge judge);
  WorkerListeners(const WorkerListeners&) = delete;
  WorkerListeners& operator=(const WorkerListeners&) = delete;

  /// Listens on these addresses, and accepts as soon as the reactor runs. Returns the addresses as
  /// they were bound. Blocks and throws as listen_on_all() does.
  std::vector<std::string> listen(const std::vector<Address>& addresses,
                                  const ListenOptions& options);
  /// Takes over these listeners, which other processes share, and accepts from them instead of
  /// those before. One that cannot be used is reported and closed.
  void replace(std::vector<Fd> listeners, Sharing sharing);
  /// Accepts now: a client may be waiting in a backlog.
  void accept_now();
  /// Accepts again if it has paused, because there may be room for further connections.
  void resume();
  /// Accepts no more, for good; the sockets are closed soon.
  void close(Waiting waiting);

 private:
  void add(Listener listener, Sharing sharing);

  Reactor& reactor_;
  AcceptorOwner owner_;
  Report report_;
  PeerJudge judge_;
  std::list<Acceptor> acceptors_;
};

}  // namespace handoff
