// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "cluster/acceptor.hpp"
#include "cluster/dispatcher.hpp"
#include "cluster/supervisor.hpp"
#include "os/signals.hpp"
#include "os/socket.hpp"

namespace handoff {

struct MasterOptions {
  std::vector<Address> listen;
  bool allow_public = false;
  int workers = 1;
  std::size_t max_connections = 0;  ///< 0: no limit
  std::string pidfile;              ///< empty: none
  std::optional<Address> join;      ///< the named socket where workers join
  std::vector<uid_t> allowed_uids;
  SupervisorOptions supervisor;
};

/// The master's life: binds, starts its workers, accepts once all of them are ready, and passes
/// what it accepts until a signal ends it.
class Master final : private AcceptorOwner {
  /// Where workers join.
  class Door final : private AcceptorOwner {
   public:
    Door(Master& master, Listener listener);
    Acceptor& acceptor() { return acceptor_; }

   private:
    bool has_room() const override { return true; }
    void accepted(Fd connection, const SocketAddress& peer) override;

    Master& master_;
    Acceptor acceptor_;
  };

 public:
  /// Binds every address: throws what listen_on throws. `signals` are those of kMasterSignals.
  Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report);
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;
  ~Master();

  /// Until a signal has ended it and the last worker is gone. Gives what did not end in time.
  Task<Supervisor::CutOff> run();

 private:
  Task<void> watch_signals();
  void handle_signal(int signal);
  void begin_to_accept();
  void stop();
  void on_change();
  void write_pidfile();

  bool has_room() const override;
  void accepted(Fd connection, const SocketAddress& peer) override;
  void burst_ended() override { dispatcher_->flush(); }

  Reactor& reactor_;
  const SignalMask& signals_;
  MasterOptions options_;
  Report report_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::deque<Acceptor> acceptors_;
  Supervisor supervisor_;
  std::optional<Door> door_;
  Event all_gone_;
  std::uint64_t last_id_ = 0;
  bool accepting_ = false;
  bool stopping_ = false;
};

}  // namespace handoff
