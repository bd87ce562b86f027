// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/event.hpp>
#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/address_range.hpp"
#include "pass/channel.hpp"
#include "pass/connection.hpp"
#include "worker/outbox.hpp"
#include "worker/worker_ledger.hpp"

namespace handoff {

/// The phase of the worker's end of its channel; the table of transitions is at
/// MasterChannel::enter.
enum class MasterChannelPhase {
  open,         ///< the master may send
  failed,       ///< nothing can be sent; the end of the channel is still awaited
  gone,         ///< the master has closed its end, and everything that it had sent was received
  failed_gone,  ///< the master has closed its end, and nothing can be sent
  closed,       ///< close() was called: nothing is received, sent or reported any more
};

/// The worker's end of its channel, in the form that the socket's type decides: SOCK_SEQPACKET the
/// full one, SOCK_STREAM the plain one. It is shared: its tasks keep it alive until they have
/// ended.
///
/// Without a ledger the owner is given a connection only after the master was told that it is
/// started: until that message is on its way, the master still has the connection. If a worker that
/// has joined cannot tell the master, it closes the connection: a master that has only given up
/// waiting for the worker has given the connection to another one. (A worker that the master has
/// started would have been killed.) With a ledger the worker takes a connection by its entry, and
/// tells the master only of those for which the master asks that.
///
/// The functions of LifeEvents and TrafficEvents may call everything here, including close(): then
/// none of them is called again, and the rest of a message with connections is closed. What they
/// throw ends the reactor's run.
class MasterChannel final : public std::enable_shared_from_this<MasterChannel> {
 public:
  /// The functions that are called with what happens to the channel itself. A function that is not
  /// set is not called.
  struct LifeEvents {
    /// Called at the first valid message of the master: the other end is a master. Never called in
    /// the plain form, which has no messages.
    std::function<void()> master_heard;
    /// Called when the master asks the worker to drain; it passes nothing more.
    std::function<void(channel::Drain how)> drain_asked;
    /// Called when the master is about to stop: each connection is to end with its next reply. It
    /// goes on passing connections.
    std::function<void()> lame_duck_asked;
    /// Called when nothing can be sent to the master or received from it (`error` is an errno): the
    /// channel is shut down, and master_gone follows.
    std::function<void(int error)> failed;
    /// The master has closed its end, and everything that it had sent was received.
    std::function<void()> master_gone;
    /// Everything was sent.
    std::function<void()> all_sent;
  };

  /// The functions that are called with what travels through the channel. A function that is not
  /// set is not called; the descriptors that it would have been given are closed.
  struct TrafficEvents {
    /// Called with a connection to serve; `connection.unread` may still be in a memfd.
    std::function<void(Connection connection)> connection_passed;
    /// Called with the ledger that was asked for. Entries of connections point into it.
    std::function<void(std::shared_ptr<const ledger::Ledger> ledger)> ledger_passed;
    /// Called after all connections of a message were given to connection_passed.
    std::function<void()> all_passed;
    /// Called when `count` connections could not be received for lack of descriptors. In the full
    /// form the master still has them.
    std::function<void(std::size_t count)> connections_missed;
    /// Called when a connection was closed instead of returned: its `unread` bytes did not fit into
    /// a message, and cannot be put into a file (`error` is an errno).
    std::function<void(std::size_t unread, int error)> connection_not_returned;
    /// Called when a connection was closed instead of returned, because it cannot be sent (`error`
    /// is an errno).
    std::function<void(int error)> return_failed;
    /// Called with the listening sockets to accept from, in the place of those before, and the
    /// proxies whose connections begin with a header.
    std::function<void(std::vector<Fd> listeners, std::vector<AddressRange> proxies)>
        listeners_passed;
    /// Called when the listening sockets could not be received for lack of descriptors; those
    /// before stay.
    std::function<void()> listeners_missed;
    /// Called when the worker should accept now: a client may be waiting in a backlog.
    std::function<void()> accept_asked;
    /// Called with the two memories of a queue: the one that the master writes, and the one that
    /// the worker writes.
    std::function<void(Fd masters, Fd ours)> queue_passed;
    /// Called when the master asks how many requests there were since the start, to find out
    /// whether the worker hangs. The owner calls `answer` with the number as soon as no thread
    /// hangs. If this is not set, the answer is 0.
    std::function<void(std::function<void(std::uint64_t requests)> answer)> requests_asked;
  };

  /// How the worker and its master have met.
  enum class Origin {
    started,  ///< the master has started the worker, and kills it when it gives up waiting for it
    joined,   ///< the worker has connected to the master, which can only forget it
  };

  /// Says when the worker tells the master that it is ready.
  enum class Ready {
    at_start,
    later,  ///< when send_ready() is called
  };

  /// Takes over `channel`. Throws InvalidArgument if it is not a socket. The reactor must outlive
  /// this object.
  MasterChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic, Fd channel,
                Origin origin = Origin::started);
  MasterChannel(const MasterChannel&) = delete;
  MasterChannel& operator=(const MasterChannel&) = delete;

  /// Returns whether the channel has the full form, with messages.
  bool is_full() const { return full_; }
  MasterChannelPhase phase() const { return phase_; }
  /// Returns whether the other end has proved to be a master: it has sent a valid message or, in
  /// the plain form, a descriptor.
  bool heard() const { return heard_ > 0; }
  /// Makes start() ask for a ledger with counters for this many threads.
  void ask_for_ledger(std::size_t threads) { ledger_threads_ = threads; }
  /// Introduces the worker to the master, with the number of connections and of calls that it
  /// accepts at a time, and then receives. A violation of the protocol throws ProtocolError from
  /// the reactor's run.
  void start(std::size_t credits, std::size_t calls = 1, Ready ready = Ready::at_start);
  /// Tells the master that the worker is ready, if start() did not.
  void send_ready() { outbox_.post(channel::encode_ready()); }
  /// Reports a connection that the worker has accepted itself; its number has channel::kOwnId.
  void started(std::uint64_t id);
  /// Reports that a connection has ended.
  void finished(std::uint64_t id);
  /// Returns a connection to the master, which gives it to another worker. It is closed if that
  /// fails.
  void give_back(Connection connection);
  /// Offers the master a copy of a connection that the worker has accepted itself and keeps. The
  /// master may refuse it.
  void deposit(Connection copy);
  /// Asks the master to drain this worker; in the plain form the master reads this as the worker's
  /// end.
  void leave();
  /// Asks the master to wake other workers that accept (`type` is listener), or to look at the
  /// queue (queue).
  void wake_master(channel::Type type);
  /// Returns whether everything was sent.
  bool idle() const { return outbox_.is_idle(); }
  /// Ends the gathering of reports: each is sent at once from now on.
  void report_immediately();
  /// Ends the tasks, and with them every report and event.
  void close();

 private:
  /// Changes the phase; nothing else does.
  void enter(MasterChannelPhase next);
  /// Returns whether the tasks go on receiving.
  bool receives() const;
  static Task<void> receive_messages(std::shared_ptr<MasterChannel> self);
  static Task<void> receive_plain(std::shared_ptr<MasterChannel> self);
  /// Handles a message of the full form; throws ProtocolError.
  void handle(std::span<const char> packet, std::vector<Fd> descriptors);
  void take_plain(std::string_view text, std::vector<Fd> descriptors);
  void take_source(channel::Message& message);
  void take_ledger(const channel::Message& message);
  void start_connections(channel::Message& message);
  /// Gives the owner the connections whose start the master has been told of, or closes them.
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
  std::size_t credits_ = 0;  ///< the most connections that the worker accepts at a time
  std::size_t held_ = 0;     ///< the connections that the worker has now
  bool master_is_short_ =
      false;  ///< the master has no room left at this worker, and waits for each report
  MasterChannelPhase phase_ = MasterChannelPhase::open;
  Outbox outbox_;
  std::size_t ledger_threads_ = 0;  ///< 0: start() does not ask for a ledger
  WorkerLedger ledger_;
  std::uint64_t heard_ =
      0;  ///< messages that the master has sent, or descriptors in the plain form
};

}  // namespace handoff
