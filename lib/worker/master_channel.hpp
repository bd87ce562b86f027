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
/// No connection is given to the owner before the master was told that it is started: as long as
/// that message is not on its way, the master still has the connection. When a worker that has
/// joined can't tell it any more, it lets the connection go: a master that has only given up
/// waiting for it has given that to another. (A worker of the master's own would have been killed.)
///
/// The owner may call everything from its callbacks, close() too: then nothing more is told, and
/// the rest of a message with connections is let go. What an owner throws ends the reactor's run.
class MasterChannel final : public std::enable_shared_from_this<MasterChannel> {
 public:
  /// Who is told what the master says.
  class Owner {
   public:
    /// The first valid message of the master has come: the other end is one. Never without
    /// messages.
    virtual void master_heard() {}
    virtual void connection_passed(Connection connection) = 0;
    /// All connections of a message were given to connection_passed().
    virtual void all_passed() {}
    /// The listening sockets to accept from, instead of those before.
    virtual void listeners_passed(std::vector<Fd> listeners) = 0;
    /// They could not be received, for want of descriptors: those before stay.
    virtual void listeners_missed() = 0;
    /// Somebody may wait at them.
    virtual void accept_asked() = 0;
    /// The memories of a queue: the master's, and ours.
    virtual void queue_passed(Fd masters, Fd ours) = 0;
    /// So many connections could not be received, for want of descriptors.
    virtual void connections_missed(std::size_t count) = 0;
    /// A connection has ended instead of going back to the master: its `unread` bytes did not fit
    /// into a message, and can't be put into a file (`error`, as errno).
    virtual void connection_not_returned(std::size_t /*unread*/, int /*error*/) {}
    /// A connection has ended instead of going back to the master, which it can't be sent to.
    virtual void return_failed(int /*error*/) {}
    /// Nothing can be sent to the master, or received from it (`error`, as errno): the channel is
    /// closed, and master_gone() follows.
    virtual void channel_failed(int error) = 0;
    /// The master passes nothing more.
    virtual void drain_asked(channel::Drain how) = 0;
    /// The master is gone.
    virtual void master_gone() = 0;
    /// Everything was sent.
    virtual void all_sent() = 0;
    /// Requests since the start.
    virtual std::uint64_t requests() const = 0;
    /// Calls `then` as soon as no thread hangs: at once if there is only this one.
    virtual void when_threads_answer(const std::function<void()>& then) { then(); }

   protected:
    ~Owner() = default;
  };

  /// Throws InvalidArgument when the descriptor is no socket.
  MasterChannel(Reactor& reactor, Owner& owner, Fd channel, bool joined = false);
  MasterChannel(const MasterChannel&) = delete;
  MasterChannel& operator=(const MasterChannel&) = delete;

  bool is_full() const { return full_; }
  MasterChannelPhase phase() const { return phase_; }
  /// Whether the other end has shown itself a master: a valid message has come from it, or without
  /// messages a descriptor.
  bool heard() const { return heard_ > 0; }
  /// Says who we are and, unless that shall come later, that we are ready; then receives. An error
  /// of the protocol ends the reactor's run.
  void start(std::size_t credits, std::size_t calls = 1, bool ready = true);
  void send_ready() { outbox_.post(channel::encode_ready()); }
  /// A connection that we have accepted ourselves; its number has channel::kOwnId.
  void started(std::uint64_t id);
  /// The connection has ended.
  void finished(std::uint64_t id);
  /// The connection is to go to another worker.
  void give_back(Connection connection);
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
  void start_connections(channel::Message& message);
  void begin(std::vector<Connection> started, SendOutcome outcome);
  void tell_requests();
  SendResult send(const std::string& message, std::span<const int> descriptors);
  void fail(int error);
  void receiving_ended();
  Outbox::Owner owner_of_outbox();

  Reactor& reactor_;
  Owner& owner_;
  Fd channel_;
  FdWatcher watcher_;
  bool full_;
  bool joined_;
  MasterChannelPhase phase_ = MasterChannelPhase::open;
  Outbox outbox_;
  std::uint64_t heard_ = 0;  ///< messages, or without them descriptors
};

}  // namespace handoff
