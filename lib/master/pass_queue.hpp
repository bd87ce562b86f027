// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "async/mailbox.hpp"
#include "async/reactor.hpp"
#include "master/pass_connection.hpp"
#include "master/pass_mode.hpp"
#include "master/request_queue.hpp"
#include "os/descriptor_limit.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/server_context.hpp"

namespace handoff {

/// `--pass queue`: the master serves the connections, and passes requests to the workers through
/// memory that it shares with them. The model of the second article: In-queue and Out-queue.
class PassQueue final : public Dispatcher {
 public:
  struct Options {
    SessionLimits limits;
    std::size_t queue_limit = 1024;
    std::size_t io_threads = 1;  ///< that serve connections; 1: the reactor's own
    std::size_t workers = 0;     ///< that are expected
    std::set<std::string, std::less<>> idempotent;
  };

  /// `closed` is called when a connection has ended or goes to the successor, with the number that
  /// that connection had; `failed` as ServerContext::Owner::failed. Throws InvalidArgument when
  /// there can't be descriptors enough.
  PassQueue(Reactor& reactor, const Options& options,
            const std::function<void(std::uint64_t id)>& closed,
            const std::function<void(std::string_view)>& failed);

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link) override;
  void worker_has_room(WorkerChannel& link) override { returned_.worker_has_room(link); }
  void successor_joined(WorkerChannel& link) override;
  void work_arrived(HeldConnection held) override;
  bool can_take() const override { return serving() < most_connections(); }
  bool has_takers() const override { return returned_.has_takers(); }
  void flush() override { returned_.flush(); }
  void flush_all() override { returned_.flush_all(); }
  std::size_t waiting() const override { return returned_.waiting(); }
  std::size_t waiting_to_be_served() const override { return returned_.waiting_to_be_served(); }
  void drain(channel::Drain how) override;
  std::size_t serving() const override;
  bool needs_workers() const override;
  std::size_t lost() const override { return lost_; }

  /// Connections that it can serve at a time.
  std::size_t most_connections() const;

  Queue::Counts counts() const { return queue_.counts(); }

 private:
  void serve(Connection connection);
  void returned(Connection connection);
  Task<Result> call(Call call);
  Task<Result> call_from(ReactorThread& thread, Reactor& reactor, Call call);

  Reactor& reactor_;
  std::function<void(std::uint64_t)> closed_;
  std::function<void(std::string_view)> failed_;
  std::size_t reserved_;  ///< descriptors that are kept back from clients, but for workers
  std::size_t expected_workers_;
  std::size_t limit_ = descriptor_limit();
  std::map<const QueuedCall*, std::shared_ptr<QueuedCall>> remote_;  ///< calls of other threads
  Queue queue_;
  ServerContext context_;
  PassConnection returned_{Balance::round_robin};  ///< connections for a successor
  bool has_successor_ = false;
  std::size_t lost_ = 0;               ///< connections that could not be given to the successor
  std::optional<Mailbox> mailbox_;     ///< of the threads, if there are any
  std::deque<ReactorThread> threads_;  ///< the I/O threads, when there are several
};

}  // namespace handoff
