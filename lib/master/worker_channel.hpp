// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "master/balancer.hpp"
#include "master/channel_events.hpp"
#include "master/channel_writer.hpp"
#include "master/connection_accounts.hpp"
#include "master/connection_sender.hpp"
#include "master/held_connection.hpp"
#include "master/message_receiver.hpp"
#include "os/status.hpp"
#include "pass/channel.hpp"
#include "pass/ledger.hpp"
#include "pass/method_totals.hpp"

namespace handoff {

/// The phase of a worker's channel; the table of transitions is at WorkerChannel::enter.
enum class WorkerChannelPhase {
  unheard,          ///< the worker has not said HELLO
  open,             ///< it may be given connections
  drained_unheard,  ///< the worker was told to leave before it has said HELLO
  draining,         ///< the worker was told to leave: it gets no connections
  closed,           ///< nothing is received or sent any more
};

/// How a worker and its master have met.
enum class WorkerOrigin {
  spawned,               ///< the master has started it, with what it inherits
  joined,                ///< it was started by others, and inherits nothing
  joined_from_elsewhere  ///< as `joined`, and its process is not known, in another PID namespace
};

/// The master's end of one worker's channel. It is shared: its tasks keep it alive until they have
/// ended, which can be a turn after its worker was forgotten.
///
/// A connection that was sent stays here too, until the worker says that it has started it. A
/// connection that it never starts is taken back when it dies.
///
/// An event may call everything: end the channel, pass connections, drain the worker. What it
/// throws ends the reactor's run.
class WorkerChannel final : public Recipient, public std::enable_shared_from_this<WorkerChannel> {
 public:
  /// Takes over `channel`. The reactor and everything that the events refer to must outlive the
  /// channel's tasks.
  WorkerChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic,
                std::shared_ptr<Custody> custody, Handshake handshake, int number, Fd channel,
                WorkerOrigin origin = WorkerOrigin::spawned);
  WorkerChannel(const WorkerChannel&) = delete;
  WorkerChannel& operator=(const WorkerChannel&) = delete;

  /// Begins to receive, for as long as the worker has its end open.
  void start() { reactor_.spawn(MessageReceiver::run(receiver_, shared_from_this())); }
  /// Called when the worker is gone, or let go: receives what it has sent until now, and then
  /// neither receives nor sends. It waits only if there are no descriptors for returned
  /// connections, or no memory.
  static Task<void> receive_rest(std::shared_ptr<WorkerChannel> self);
  /// Ends the channel at once: nothing is received or sent any more.
  void end();

  int number() const override { return number_; }
  WorkerChannelPhase phase() const { return phase_; }
  bool open() const { return phase_ != WorkerChannelPhase::closed; }
  bool has_joined() const { return origin_ != WorkerOrigin::spawned; }
  bool is_full() const { return handshake_ == Handshake::full; }
  /// Returns the number of connections that it was given and has not finished, including those on
  /// their way. Not known (0) without a handshake.
  std::size_t assigned() const override { return accounts_.assigned(); }
  /// Returns the number of connections that the worker had when take_all() was called, and that did
  /// not go to others.
  std::size_t lost() const { return lost_; }
  /// Returns how many requests of a queue it accepts at a time.
  std::size_t max_calls() const { return hello_.calls; }
  /// Returns the number of connections on their way to it.
  std::size_t unacknowledged() const {
    return sender_.unacknowledged() + sender_.unsent() + (kept_ ? kept_->unconfirmed() : 0);
  }
  /// Returns the number of connections that it was ever given, or has accepted.
  std::uint64_t connections_total() const { return accounts_.total(); }
  /// Returns the number of connections of which copies are kept, including those that it has
  /// deposited.
  std::size_t kept() const { return kept_ ? kept_->count() + kept_->deposits() : 0; }
  /// Returns whether it records in a ledger, so that its counters can be read without asking it.
  bool has_ledger() const { return kept_ != nullptr; }
  /// Returns whether it must be asked for the truth: without a ledger only the worker knows its
  /// requests, and one that accepts connections itself reports them a moment later.
  bool knows_more() const { return !has_ledger() || accounts_.expects_own(); }
  /// Returns its counters, also after its death. Of a worker without a ledger only the requests are
  /// known, as it last reported them.
  ledger::Totals totals() const;
  /// Returns its counters by method, also after its death; none if it does not count by method.
  ledger::MethodTotals method_totals() const {
    return kept_ ? ledger::MethodTotals(kept_->ledger()) : ledger::MethodTotals();
  }
  /// Returns Totals::active_calls at less cost.
  std::uint64_t active_calls() const override { return kept_ ? kept_->ledger().active_calls() : 0; }
  /// Returns whether it may be given one more connection.
  bool has_room() const override;

  /// Numbers and queues a connection; flush() sends it.
  void pass(HeldConnection held) override;
  /// Sends all listeners that it is to accept from, in the place of those before; without a
  /// handshake they go with one byte. `others_should_accept` is called when it leaves a client that
  /// waits at them to others.
  /// `proxies` are the ranges of addresses whose connections begin with the header of a proxy, as
  /// text_of() writes them.
  void pass_listeners(std::vector<Fd> listeners, std::function<void()> others_should_accept,
                      std::string_view proxies = {});
  /// Sends the memories of the queue from which its requests come.
  void pass_queue(std::vector<Fd> memories);
  /// Makes it check its listeners or its queue. It does so anyway when messages wait for it.
  void wake(channel::Type type);
  /// Tells a successor that it owns the names of the listeners from now on.
  void give_names();
  /// Sends what is queued, as much as the channel takes now; the rest follows by itself. Does not
  /// block.
  void flush() override;
  /// See KeptConnections.
  void drop_touched_luggage() {
    if (kept_) { kept_->drop_touched_luggage(); }
  }
  /// Returns the connections that others can serve, when it is certain that the worker gets nothing
  /// more: those that it has not started, and of the others as many as its ledger and `reach`
  /// allow.
  std::deque<HeldConnection> take_all(Reach reach) override;
  /// Returns the connections that were not sent yet.
  std::deque<HeldConnection> take_unsent() override;

  /// Called when the worker does not keep up: until it has answered a question it gets nothing
  /// more, and connections that it has not taken go to others. Of those on their way these are only
  /// the ones of which a copy is kept.
  void pass_over();

  /// Treats a violation of the protocol elsewhere like one on the channel.
  void fail_with_protocol_error(const std::string& problem) { close(Status::failure(problem)); }
  /// Tells the worker to finish and leave, after everything that is queued was sent.
  void drain(channel::Drain how);
  /// Tells the worker that each connection is to end with its next reply, if it is ready and knows
  /// the message.
  void announce_lame_duck();
  /// Asks for its number of requests; see LifeEvents::requests_told.
  void ask_for_requests();
  /// Returns whether it has said in HELLO that it answers this question unless it hangs.
  bool answers() const { return hello_.answers; }
  /// Returns whether it has said in HELLO that it reads the headers of proxies.
  bool reads_proxies() const { return hello_.reads_proxies; }
  /// Asks it before everything that is queued, and only if the channel has room for the question:
  /// if it has none, the worker has enough unread questions.
  void ask_whether_it_answers();
  /// Returns whether something that it has sent was not received yet.
  bool has_unread() const { return receiver_.has_unread(); }

 private:
  /// The most questions that wait to be sent.
  static constexpr std::size_t kMaxQuestions = 4;

  /// Changes the phase; nothing else does.
  void enter(WorkerChannelPhase next);
  bool is_draining() const {
    return phase_ == WorkerChannelPhase::draining || phase_ == WorkerChannelPhase::drained_unheard;
  }
  /// Returns whether the worker has said HELLO.
  bool has_greeted() const {
    return phase_ != WorkerChannelPhase::unheard && phase_ != WorkerChannelPhase::drained_unheard;
  }
  MessageReceiver::Owner owner_of_receiver();
  ChannelWriter::Owner owner_of_writer();
  ConnectionAccounts::Owner owner_of_accounts();
  void take(MessageReceiver::Received received);
  /// Handles a message. A failure says which rule of the protocol the worker has broken.
  Status handle(channel::Message message);
  Status greet(const channel::Hello& hello);
  /// Sends the worker a ledger, and keeps copies of its connections from now on.
  void give_ledger();
  /// Writes the reply that the connection brings along, for a worker that cannot.
  static void write_owed(Connection& connection);
  Status lose(channel::Message message);
  void room_changed();
  /// Sends the descriptors that the worker gets its work from, in the place of those before.
  void pass_source(std::string message, std::vector<Fd> descriptors);
  /// Sends a message after everything that is queued.
  void send_soon(std::string message, std::vector<Fd> descriptors = {});
  /// Gives the worker no connections for a moment, because it has refused one.
  void pause_after_refusal();
  static Task<void> end_pause(std::shared_ptr<WorkerChannel> self);
  /// Reports a change of assigned().
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
  TimePoint paused_until_{};  ///< until then it gets nothing, because it had no descriptor left
  bool passed_over_ = false;  ///< it has left a question unanswered
  channel::Hello hello_;
  std::size_t credits_;         ///< the most connections that it accepts at a time
  std::size_t counted_ = 0;     ///< the value of assigned() that was last reported
  std::size_t lost_ = 0;        ///< see lost()
  std::uint64_t requests_ = 0;  ///< the number of requests that it has reported
  std::uint64_t last_id_ = 0;
};

}  // namespace handoff
