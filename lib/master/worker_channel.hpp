// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/balancer.hpp"
#include "master/channel_events.hpp"
#include "master/channel_writer.hpp"
#include "master/connection_accounts.hpp"
#include "master/connection_sender.hpp"
#include "master/held_connection.hpp"
#include "master/message_receiver.hpp"
#include "os/fd.hpp"
#include "os/status.hpp"
#include "pass/channel.hpp"
#include "pass/fd_passing.hpp"
#include "pass/ledger.hpp"

namespace handoff {

/// How far a worker's channel has come; the table of transitions stands at WorkerChannel::enter.
enum class WorkerChannelPhase {
  unheard,          ///< the worker has not said HELLO
  open,             ///< it may be given connections
  drained_unheard,  ///< told to leave before it has said HELLO
  draining,         ///< told to leave: it gets no connections
  closed,           ///< nothing is received or sent any more
};

/// Who started a worker.
enum class WorkerOrigin {
  spawned,               ///< the master, with what it inherits
  joined,                ///< others, and so without anything
  joined_from_elsewhere  ///< the same, and its process is not known: in another PID namespace
};

/// The master's end of one worker's channel. Shared: its tasks keep it alive until they have ended,
/// which can be a turn after its worker was forgotten.
///
/// A connection that was sent stays here too, until the worker says that it has started it. What it
/// never starts is taken back when it dies.
///
/// An event may call everything: end the channel, pass connections, drain the worker. What it
/// throws ends the reactor's run.
class WorkerChannel final : public Recipient, public std::enable_shared_from_this<WorkerChannel> {
 public:
  /// What the events refer to must outlive the channel's tasks.
  WorkerChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic,
                std::shared_ptr<Custody> custody, Handshake handshake, int number, Fd channel,
                WorkerOrigin origin = WorkerOrigin::spawned);
  WorkerChannel(const WorkerChannel&) = delete;
  WorkerChannel& operator=(const WorkerChannel&) = delete;

  /// Starts to receive, for as long as the worker has its end open.
  void start() { reactor_.spawn(MessageReceiver::run(receiver_, shared_from_this())); }
  /// The worker is gone, or let go: receives what it has sent until now, then neither receives nor
  /// sends any more. It waits only when there are no descriptors for what was returned, or no
  /// memory.
  static Task<void> receive_rest(std::shared_ptr<WorkerChannel> self);
  /// Nothing is received or sent any more.
  void end();

  int number() const override { return number_; }
  WorkerChannelPhase phase() const { return phase_; }
  bool open() const { return phase_ != WorkerChannelPhase::closed; }
  bool has_joined() const { return origin_ != WorkerOrigin::spawned; }
  bool is_full() const { return handshake_ == Handshake::full; }
  /// Connections that it was given and has not finished, those on their way included. Not known
  /// (0) without a handshake.
  std::size_t assigned() const override { return accounts_.assigned(); }
  /// Connections that were the worker's when take_all() was called, and did not go to others.
  std::size_t lost() const { return lost_; }
  /// Requests of a queue that it will have at a time.
  std::size_t max_calls() const { return hello_.calls; }
  /// Connections on their way to it.
  std::size_t unacknowledged() const {
    return sender_.unacknowledged() + sender_.unsent() + (kept_ ? kept_->unconfirmed() : 0);
  }
  /// Connections that it was ever given, or has accepted.
  std::uint64_t connections_total() const { return accounts_.total(); }
  /// Connections of which copies are kept, those included that it has deposited.
  std::size_t kept() const { return kept_ ? kept_->count() + kept_->deposits() : 0; }
  /// Whether it records in a ledger, so that its counters can be read without asking it.
  bool has_ledger() const { return kept_ != nullptr; }
  /// Whether it has to be asked, so that what is known of it is true. Without a ledger it alone
  /// knows its requests, and one that accepts connections itself tells of them a moment later.
  bool knows_more() const { return !has_ledger() || accounts_.expects_own(); }
  /// What its counters say, also after its death. Of a worker without a ledger only the requests
  /// are known, as it has told them last.
  ledger::Totals totals() const;
  /// That part of totals(), at less cost.
  std::uint64_t active_calls() const override { return kept_ ? kept_->ledger().active_calls() : 0; }
  /// Whether it may be given one more connection.
  bool has_room() const override;

  /// Queues a connection, and numbers it; flush() sends.
  void pass(HeldConnection held) override;
  /// Sends all listeners that it is to accept from, instead of those before; without a handshake
  /// they go with one byte. `others_should_accept` is called when it leaves a client that waits at
  /// them to others.
  void pass_listeners(std::vector<Fd> listeners, std::function<void()> others_should_accept);
  /// Sends the memories of the queue that its requests come from.
  void pass_queue(std::vector<Fd> memories);
  /// Has it look at its listeners or its queue. It does so in any case when messages wait for it.
  void wake(channel::Type type);
  /// Tells a successor that the names of the listeners are its own from now on.
  void give_names();
  /// Sends what is queued, as far as the channel takes it now; the rest follows by itself.
  void flush() override;
  /// See KeptConnections.
  void drop_touched_luggage() {
    if (kept_) { kept_->drop_touched_luggage(); }
  }
  /// What is to be given to others, once it is known that the worker gets nothing more: what it has
  /// not started, and of what it was passed as much as its ledger and `reach` allow.
  std::deque<HeldConnection> take_all(Reach reach) override;
  /// What was not sent yet, to be given to another.
  std::deque<HeldConnection> take_unsent() override;

  /// The worker does not keep up: until it has answered a question it gets nothing more, and what
  /// it has not taken goes to others. Of what is on its way that is only what a copy is kept of.
  void pass_over();

  /// It has broken the protocol elsewhere: as if it had on the channel.
  void fail_with_protocol_error(const std::string& problem) { close(Status::failure(problem)); }
  /// Tells the worker to finish and leave, once what is queued was sent.
  void drain(channel::Drain how);
  /// Asks for its number of requests; see LifeEvents::requests_told.
  void ask_for_requests();
  /// Whether it has said in HELLO that it answers that question unless it hangs.
  bool answers() const { return hello_.answers; }
  /// Asks it before all that is queued, and only if there is room for the question in the channel:
  /// if there is none, it has questions enough that it has not read.
  void ask_whether_it_answers();
  /// Whether something that it has sent was not received yet.
  bool has_unread() const { return receiver_.has_unread(); }

 private:
  void enter(WorkerChannelPhase next);
  bool is_draining() const {
    return phase_ == WorkerChannelPhase::draining || phase_ == WorkerChannelPhase::drained_unheard;
  }
  bool has_greeted() const {
    return phase_ != WorkerChannelPhase::unheard && phase_ != WorkerChannelPhase::drained_unheard;
  }
  MessageReceiver::Owner owner_of_receiver();
  ChannelWriter::Owner owner_of_writer();
  ConnectionAccounts::Owner owner_of_accounts();
  void take(MessageReceiver::Received received);
  Status handle(channel::Message message);
  Status greet(const channel::Hello& hello);
  void give_ledger();
  static void write_owed(Connection& connection);
  Status lose(channel::Message message);
  void room_changed();
  void pass_source(channel::Type type, std::vector<Fd> descriptors);
  void send_soon(std::string message, std::vector<Fd> descriptors = {});
  void pause_after_refusal();
  static Task<void> end_pause(std::shared_ptr<WorkerChannel> self);
  void recount();
  void close(const Status& how);

  Reactor& reactor_;
  LifeEvents life_;
  TrafficEvents traffic_;
  std::function<void()> others_should_accept_;
  std::shared_ptr<Custody> custody_;
  Handshake handshake_;
  int number_;
  WorkerOrigin origin_;
  Fd channel_;
  FdWatcher watcher_;
  MessageReceiver receiver_;
  std::unique_ptr<KeptConnections> kept_;  ///< null without a ledger
  ConnectionSender sender_;
  ChannelWriter writer_;
  ConnectionAccounts accounts_;
  WorkerChannelPhase phase_;
  TimePoint paused_until_{};  ///< it had no descriptor left a moment ago
  bool passed_over_ = false;  ///< it has left a question unanswered
  channel::Hello hello_;
  std::size_t credits_;         ///< connections that it will hold at a time
  std::size_t counted_ = 0;     ///< what was told of assigned()
  std::size_t lost_ = 0;        ///< see lost()
  std::uint64_t requests_ = 0;  ///< that it has told of
  std::uint64_t last_id_ = 0;
};

}  // namespace handoff
