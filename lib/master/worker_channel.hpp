// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/balancer.hpp"
#include "master/held_connection.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"
#include "pass/fd_passing.hpp"

namespace handoff {

/// What is spoken on a channel; see handoff-wire(7).
enum class Handshake {
  full,  ///< typed messages on SOCK_SEQPACKET
  none,  ///< one byte and one descriptor a connection on SOCK_STREAM; nothing comes back
};

/// The master's end of one worker's channel. Shared: its tasks keep it alive until they have ended,
/// which can be a turn after its worker was forgotten.
///
/// A connection that was sent stays here too, until the worker says that it has started it. What it
/// never starts is taken back when it dies.
class WorkerLink final : public Recipient, public std::enable_shared_from_this<WorkerLink> {
 public:
  /// Who is told what a worker says.
  class Owner {
   public:
    virtual void worker_ready(WorkerLink& link) = 0;
    /// Its room has changed, or it holds fewer connections.
    virtual void worker_has_room(WorkerLink& link) = 0;
    /// It asks to be drained.
    virtual void worker_would_leave(WorkerLink& link) = 0;
    /// A connection that it had, or refused, is to go to another.
    virtual void connection_returned(WorkerLink& link, HeldConnection held) = 0;
    /// It leaves who waits at its listeners to others.
    virtual void others_shall_accept(WorkerLink& link) = 0;
    /// It has returned so many that there was no descriptor for; they are lost.
    virtual void connections_lost(WorkerLink& link, std::size_t count) = 0;
    /// held() has changed by so much.
    virtual void held_changed(std::ptrdiff_t) {}
    /// It has accepted so many connections itself.
    virtual void worker_accepted(std::size_t) {}
    /// It has told how many requests there were.
    virtual void requests_told(WorkerLink& link) = 0;
    /// It closed its end, or broke the protocol (`problem` says how; empty otherwise). Nothing
    /// more can be passed to it.
    virtual void worker_closed(WorkerLink& link, const std::string& problem) = 0;
    /// A message to it could not be sent (`error`, as errno): that costs this many connections,
    /// which are closed, or with 0 of them its channel.
    virtual void send_failed(WorkerLink& link, std::size_t connections, int error) = 0;
    /// Whether what it returns can go to others. While it can, it waits in the channel until there
    /// are descriptors for it.
    virtual bool passes_on() const = 0;

   protected:
    ~Owner() = default;
  };

  WorkerLink(Reactor& reactor, Owner& owner, std::shared_ptr<Custody> custody, Handshake handshake,
             int number, Fd channel, bool joined = false);
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  /// Starts to receive, for as long as the worker has its end open.
  void start() { reactor_.spawn(receive(shared_from_this())); }
  /// The worker is gone, or let go: receives what it has sent until now, then neither receives nor
  /// sends any more. It waits only when there are no descriptors for what was returned, or no
  /// memory.
  static Task<void> receive_rest(std::shared_ptr<WorkerLink> self);
  /// Nothing is received or sent any more.
  void end();

  int number() const override { return number_; }
  bool open() const { return open_; }
  /// Whether it was started by others, and so without anything.
  bool has_joined() const { return joined_; }
  bool is_full() const { return handshake_ == Handshake::full; }
  /// Connections that it was given and has not finished, those on their way included. Not known
  /// (0) without a handshake.
  std::size_t held() const override { return held_ + unstarted_.size() + queue_.size(); }
  /// Requests of a queue that it will have at a time.
  std::size_t calls() const { return calls_; }
  /// Connections on their way to it.
  std::size_t unstarted() const { return unstarted_.size() + queue_.size(); }
  /// Connections that it was ever given, or has accepted.
  std::uint64_t passed() const { return passed_; }
  /// Requests that it has told of.
  std::uint64_t requests() const { return requests_; }
  /// Whether it may be given one more connection.
  bool has_room() const override;

  /// Queues a connection, and numbers it; flush() sends.
  void pass(HeldConnection held) override;
  /// Sends what its work comes from: all listeners, or the memories of a queue. Without a handshake
  /// they go with one byte.
  void pass_source(channel::Type type, std::vector<Fd> descriptors);
  /// Has it look at its listeners or its queue. It does so in any case when messages wait for it.
  void wake(channel::Type type);
  /// Tells a successor that the names of the listeners are its own from now on.
  void give_names();
  /// Sends what is queued, as far as the channel takes it now; the rest follows by itself.
  void flush() override;
  /// What it has not started: to be given to another, once it is known that it will not.
  std::deque<HeldConnection> take_unstarted();
  /// What was not sent yet, to be given to another.
  std::deque<HeldConnection> take_unsent();

  /// It has broken the protocol elsewhere: as if it had on the channel.
  void blame(const std::string& problem) {
    if (open_) close(problem);
  }
  /// Tells the worker to finish and leave, once what is queued was sent.
  void drain(channel::Drain how);
  /// Asks for its number of requests; see Owner::requests_told.
  void ask_for_requests();
  /// Whether it has said in HELLO that it answers that question unless it hangs.
  bool answers() const { return answers_; }
  /// Asks it before all that is queued, and only if there is room for the question in the channel:
  /// if there is none, it has questions enough that it has not read.
  void ask_whether_it_answers();
  /// Whether something that it has sent was not received yet.
  bool has_unread() const;

 private:
  enum class Sent { all, blocked, closed };
  enum class Received {
    message,
    nothing,  ///< there is none now
    no_room,  ///< there is one, with connections that we have no descriptors for
    no_memory,
  };
  struct Outgoing {
    std::string message;
    std::vector<Fd> descriptors{};
  };
  Received receive_one();
  Received receive_returned();
  void take(ReceiveResult& result);
  bool next_is_return() const;
  std::string lose(std::size_t count);
  void recount();
  Sent send_batch();
  Sent send_works();
  void drop_unsent(int error);
  Sent send_messages();
  void end_receiving();
  void send_soon(Outgoing message);
  std::string start(std::span<const std::uint64_t> ids);
  static Task<void> receive(std::shared_ptr<WorkerLink> self);
  static Task<void> send_when_writable(std::shared_ptr<WorkerLink> self);
  static Task<void> pause_after_refusal(std::shared_ptr<WorkerLink> self);
  std::string handle(channel::Message& message);
  std::string take_back(channel::Message& message);
  std::optional<HeldConnection> take_unstarted(std::uint64_t id);
  void close(const std::string& problem);

  Reactor& reactor_;
  Owner& owner_;
  std::shared_ptr<Custody> custody_;
  Handshake handshake_;
  int number_;
  bool joined_;
  Fd channel_;
  FdWatcher watcher_;
  std::unique_ptr<char[]> packet_;
  std::deque<HeldConnection> queue_;
  std::deque<HeldConnection> unstarted_;  ///< sent, in this order
  std::deque<Outgoing> messages_;         ///< to be sent behind what is queued
  std::size_t held_ = 0;                  ///< started
  std::size_t counted_ = 0;               ///< what the owner was told of held()
  std::size_t credits_ = 0;
  std::size_t calls_ = 0;
  std::size_t most_per_message_ = channel::kMaxEntries;  ///< fewer for one short of descriptors
  std::uint64_t passed_ = 0;
  std::uint64_t requests_ = 0;
  std::uint64_t last_id_ = 0;
  bool open_ = true;
  bool accepts_ = false;  ///< it has listeners
  bool greeted_ = false;
  bool answers_ = false;
  bool draining_ = false;
  bool refusing_ = false;  ///< it had no descriptor left a moment ago
  bool sending_ = false;   ///< send_when_writable() is at work
};

}  // namespace handoff
