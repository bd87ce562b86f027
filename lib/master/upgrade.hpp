// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/lineage.hpp"
#include "master/pass_mode.hpp"
#include "master/worker_channel.hpp"
#include "os/child.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/service_manager.hpp"

namespace handoff {

/// What a master gets from the one that it succeeds: see handoff-wire(7), HANDOFF_SUCCESSION.
struct Inheritance {
  Fd channel;  ///< to the predecessor, as that of a worker
  std::vector<Listener> listeners;
  std::optional<Listener> join;
  std::optional<Listener> control;
  Fd pidfile;   ///< not valid if there is none
  Fd original;  ///< to the original process; not valid if none stays

  /// Nothing when this process succeeds nobody. Throws InvalidArgument when what the environment
  /// says can't be understood. Once: the variable is removed.
  static std::optional<Inheritance> take();
};

/// How a master is started again.
struct SuccessorCommand {
  std::string program;            ///< the path that is executed
  std::vector<std::string> argv;  ///< as this process got it
  Duration ready_timeout{};
};

/// Another process of this program (or a newer one at its path) that takes over from a master. To
/// its predecessor it is a worker that has joined: the connections go to it over a channel.
class Succession final : private WorkerChannel::Owner {
 public:
  /// `started` is told the number of its process, which start() reaps if it fails.
  Succession(Reactor& reactor, Dispatcher& dispatcher, std::shared_ptr<Custody> custody,
             const Report& report, std::function<void(pid_t)> started);
  Succession(const Succession&) = delete;
  Succession& operator=(const Succession&) = delete;
  ~Succession();

  /// What is handed over. They must outlive start().
  struct Estate {
    std::vector<const Listener*> listeners;
    const Listener* join = nullptr;
    const Listener* control = nullptr;
    int pidfile = -1;  ///< -1 if there is none
  };
  /// Starts it, and waits until it is ready: empty, or why it is not; then it is gone. `lineage` is
  /// told of its process.
  Task<std::string> start(const SuccessorCommand& command, Estate estate,
                          const ServiceManager& manager, Lineage& lineage);

  /// The old master stops. Before the new one is ready, start() ends, and so does the new one;
  /// later its end is expected.
  void give_up();

  pid_t pid() const { return child_.pid(); }
  /// From now on the names of the listeners are its own, and the dispatcher gives it what there is.
  void take_over() {
    link_->give_names();
    dispatcher_.successor_joined(*link_);
  }
  /// Whether everything that it was given is its own now, or it is gone.
  bool is_done() const;
  Condition& progress() { return progress_; }

 private:
  void spawn_successor(const SuccessorCommand& command, const Estate& estate,
                       const ServiceManager& manager, Lineage& lineage);

  void worker_ready(WorkerChannel& link) override;
  void worker_has_room(WorkerChannel& link) override;
  void worker_would_leave(WorkerChannel&) override {}
  void connection_returned(WorkerChannel& link, HeldConnection held) override;
  void others_shall_accept(WorkerChannel&) override {}
  void requests_told(WorkerChannel&) override {}
  void worker_closed(WorkerChannel& link, const std::string& problem) override;
  void connections_lost(WorkerChannel&, std::size_t) override {}
  void send_failed(WorkerChannel& link, std::size_t connections, int error) override;
  bool passes_on() const override { return false; }

  Reactor& reactor_;
  Dispatcher& dispatcher_;
  std::shared_ptr<Custody> custody_;
  const Report& report_;
  std::function<void(pid_t)> started_;
  Condition progress_;
  Child child_;
  std::shared_ptr<WorkerChannel> link_;
  std::string problem_;
  bool ready_ = false;
  bool closed_ = false;
  bool given_up_ = false;
};

}  // namespace handoff
