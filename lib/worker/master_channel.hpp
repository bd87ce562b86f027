// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "async/event.hpp"
#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "pass/fd_passing.hpp"
#include "worker/outbox.hpp"
#include "worker/worker_ledger.hpp"

namespace handoff {

/// How far the worker's end of its channel has come; the table of transitions stands at
/// MasterChannel::enter.
enum class MasterChannelPhase {
  open,         ///< the master may send
  failed,       ///< nothing can be sent; the end of the channel is still awaited
  gone,         ///< the master has closed its end, and everything that it had sent was received
  failed_gone,  ///< both
  closed,       ///< by close(): nothing is received, sent or told any more
};

/// The worker's end of its channel, in the form that the socket's type tells: SOCK_SEQPACKET the
/// full one, SOCK_STREAM the plain one. Shared: its tasks keep it alive until they have ended.
///
/// Without a ledger no connection is given to the owner before the master was told that it is
/// started: as long as that message is not on its way, the master still has the connection. When a
/// worker that has joined can't tell it any more, it lets the connection go: a master that has only
/// given up waiting for it has given that to another. (A worker of the master's own would have been
/// killed.) With a ledger a connection is taken by its entry, and the master is told only of those
/// of which it wants to be.
///
/// The functions of LifeEvents and TrafficEvents may call everything here, close() too: then none
/// of them is called again, and the rest of a message with connections is let go. What they throw
/// ends the reactor's run.
class MasterChannel final : public std::enable_shared_from_this<MasterChannel> {
 public:
  /// What the owner is told of the channel itself. A function that is not set is not called.
  struct LifeEvents {
    /// The first valid message of the master has come: the other end is one. Never called in the
    /// plain form, which has no messages.
    std::function<void()> master_heard;
    /// The master passes nothing more.
    std::function<void(channel::Drain how)> drain_asked;
    /// Nothing can be sent to the master, or received from it (`error`, as errno): the channel is
    /// closed, and master_gone follows.
    std::function<void(int error)> failed;
    /// The master has closed its end, and everything that it had sent was received.
    std::function<void()> master_gone;
    /// Everything was sent.
    std::function<void()> all_sent;
  };

  /// What the owner is told of what goes through the channel. A function that is not set is not
  /// called; the descriptors that it would have been given are closed.
  struct TrafficEvents {
    std::function<void(Connection connection)> connection_passed;
    /// The master has sent the ledger that was asked for. Entries of connections are in it.
    std::function<void(std::shared_ptr<const ledger::Ledger> ledger)> ledger_passed;
    /// All connections of a message were given to connection_passed.
    std::function<void()> all_passed;
    /// So many connections could not be received, for want of descriptors.
    std::function<void(std::size_t count)> connections_missed;
    /// A connection has ended instead of going back to the master: its `unread` bytes did not fit
    /// into a message, and can't be put into a file (`error`, as errno).
    std::function<void(std::size_t unread, int error)> connection_not_returned;
    /// A connection has ended instead of going back to the master, which it can't be sent to
    /// (`error`, as errno).
    std::function<void(int error)> return_failed;
    /// The listening sockets to accept from, instead of those before.
    std::function<void(std::vector<Fd> listeners)> listeners_passed;
    /// The listening sockets could not be received, for want of descriptors: those before stay.
    std::function<void()> listeners_missed;
    /// Accept now: a client may be waiting in a backlog.
    std::function<void()> accept_asked;
    /// The two memories of a queue: the one that the master writes, and the one that we write.
    std::function<void(Fd masters, Fd ours)> queue_passed;
    /// The master asks how many requests there were since the start, to see whether we hang. Calls
    /// `answer` with that as soon as no thread hangs. When this is not set, the answer is 0.
    std::function<void(std::function<void(std::uint64_t requests)> answer)> requests_asked;
  };

  /// How the worker has come to its master.
  enum class Origin {
    started,  ///< the master has started it, and kills it when it gives up waiting for it
    joined,   ///< it has connected to the master, which can only forget it
  };

  /// When the master is told that the worker is ready.
  enum class Ready {
    at_start,
    later,  ///< by send_ready()
  };

  /// Throws InvalidArgument when the descriptor is no socket.
  MasterChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic, Fd channel,
                Origin origin = Origin::started);
  MasterChannel(const MasterChannel&) = delete;
  MasterChannel& operator=(const MasterChannel&) = delete;

  bool is_full() const { return full_; }
  MasterChannelPhase phase() const { return phase_; }
  /// Whether the other end has shown itself a master: a valid message has come from it, or without
  /// messages a descriptor.
  bool heard() const { return heard_ > 0; }
  /// Has start() ask for a ledger in which so many threads count.
  void ask_for_ledger(std::size_t threads) { ledger_threads_ = threads; }
  /// Tells the master who we are and how many connections and calls it may give us at a time; then
  /// receives. An error of the protocol ends the reactor's run.
  void start(std::size_t credits, std::size_t calls = 1, Ready ready = Ready::at_start);
  void send_ready() { outbox_.post(channel::encode_ready()); }
  /// A connection that we have accepted ourselves; its number has channel::kOwnId.
  void started(std::uint64_t id);
  /// The connection has ended.
  void finished(std::uint64_t id);
  /// The connection is to go to another worker.
  void give_back(Connection connection);
  /// A copy of a connection that we have accepted ourselves and keep. The master need not take it.
  void deposit(Connection copy);
  /// Asks to be drained; without messages the master reads this as our end.
  void leave();
  /// Has the master wake others that accept, or look at the queue.
  void wake_master(channel::Type type);
  /// Whether everything was sent.
  bool idle() const { return outbox_.is_idle(); }
  /// From now on nothing that is to be told waits for more of its kind.
  void report_immediately();
  /// Ends the tasks.
  void close();

 private:
  void enter(MasterChannelPhase next);
  bool receives() const;
  static Task<void> receive_messages(std::shared_ptr<MasterChannel> self);
  static Task<void> receive_plain(std::shared_ptr<MasterChannel> self);
  void handle(std::span<const char> packet, std::vector<Fd> descriptors);
  void take_plain(std::vector<Fd> descriptors);
  void take_source(channel::Message& message);
  void take_ledger(const channel::Message& message);
  void start_connections(channel::Message& message);
  void begin(std::vector<Connection> started, SendOutcome outcome);
  IdReports::Urgency urgency() const;
  void count_requests();
  void tell_requests(std::uint64_t requests);
  SendResult send(const std::string& message, std::span<const int> descriptors);
  void fail(int error);
  void receiving_ended();
  Outbox::Owner owner_of_outbox();

  Reactor& reactor_;
  LifeEvents life_;
  TrafficEvents traffic_;
  Fd channel_;
  FdWatcher watcher_;
  bool full_;
  Origin origin_;
  std::size_t credits_ = 0;       ///< connections that we will hold at a time
  std::size_t held_ = 0;          ///< those that we hold
  bool master_is_short_ = false;  ///< of room at us: it waits for each word of ours
  MasterChannelPhase phase_ = MasterChannelPhase::open;
  Outbox outbox_;
  std::size_t ledger_threads_ = 0;  ///< 0: no ledger is asked for
  WorkerLedger ledger_;
  std::uint64_t heard_ = 0;  ///< messages, or without them descriptors
};

}  // namespace handoff
