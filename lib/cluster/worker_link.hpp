// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/address.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"

namespace handoff {

/// What is spoken on a channel; see handoff-wire(7).
enum class Handshake {
  full,  ///< typed messages on SOCK_SEQPACKET
  none,  ///< one byte and one descriptor a connection on SOCK_STREAM; nothing comes back
};

/// An accepted connection on its way to a worker.
struct Work {
  std::uint64_t id = 0;
  Fd connection;
  SocketAddress peer;
};

/// The master's end of one worker's channel. Shared: its tasks keep it alive until they have ended,
/// which can be a turn after its worker was forgotten.
class WorkerLink : public std::enable_shared_from_this<WorkerLink> {
 public:
  /// Who is told what a worker says.
  class Owner {
   public:
    virtual void worker_ready(WorkerLink& link) = 0;
    /// Connections have ended: it has room again.
    virtual void worker_has_room(WorkerLink& link) = 0;
    /// It closed its end, or broke the protocol (`problem` says how; empty otherwise). Nothing
    /// more can be passed to it.
    virtual void worker_closed(WorkerLink& link, const std::string& problem) = 0;

   protected:
    ~Owner() = default;
  };

  WorkerLink(Reactor& reactor, Owner& owner, Handshake handshake, int number, Fd channel);
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  /// Starts to receive, for as long as the worker has its end open.
  void start() { reactor_.spawn(receive(shared_from_this())); }
  /// The worker is gone: receives what it had sent, then neither receives nor sends any more.
  void receive_rest();

  /// Nothing is received or sent any more.
  void end();

  int number() const { return number_; }
  /// Who it says that it is; 0 as long as it has not.
  pid_t pid() const { return pid_; }
  bool open() const { return open_; }
  /// Connections that it was given and has not finished, those still queued here included. Not
  /// known (0) without a handshake.
  std::size_t held() const { return held_ + queue_.size(); }
  /// Whether it may be given one more connection.
  bool has_room() const {
    // Without credits, a full channel is the only word of a worker that does not keep up.
    const bool keeps_up = handshake_ == Handshake::full || !sending_;
    return open_ && !draining_ && keeps_up && held() < credits_;
  }

  /// Queues a connection; flush() sends.
  void pass(Work work) { queue_.push_back(std::move(work)); }
  /// Sends what is queued, as far as the channel takes it now; the rest follows by itself.
  void flush();
  /// What was queued and not sent, to be given to another.
  std::deque<Work> take_unsent() { return std::exchange(queue_, {}); }

  /// Tells the worker to finish and leave, once what is queued was sent.
  void drain();

 private:
  enum class Sent { all, blocked, closed };
  bool receive_one();
  Sent send_batch();
  Sent send_one();
  Sent send_drain();
  static Task<void> receive(std::shared_ptr<WorkerLink> self);
  static Task<void> send_when_writable(std::shared_ptr<WorkerLink> self);
  std::string handle(const channel::Message& message);
  void close(const std::string& problem);

  Reactor& reactor_;
  Owner& owner_;
  Handshake handshake_;
  int number_;
  pid_t pid_ = 0;
  Fd channel_;
  Readiness readiness_;
  std::unique_ptr<char[]> packet_;
  std::deque<Work> queue_;
  std::size_t held_ = 0;
  std::size_t credits_ = 0;
  bool open_ = true;
  bool greeted_ = false;
  bool draining_ = false;
  bool drain_sent_ = false;
  bool sending_ = false;  ///< send_when_writable() is at work
};

}  // namespace handoff
