// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "os/child.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "os/signals.hpp"

namespace handoff {

/// What masters tell the original process on the socket that they inherit from one another; see
/// handoff-wire(7), THE SUCCESSION. Each notice is a message.
enum class Notice : char {
  started = 's',  ///< a successor runs, whose pidfd comes along: sent by it and by its predecessor
  took_over = 't',  ///< that successor serves from now on
  ended = 'e',      ///< the sender is about to end; the second byte is its exit status
};

/// Returns whether a signal makes a master stop: TERM, INT or QUIT.
bool is_stop(int signal);

/// Passes a signal on to another master, unless the kernel has sent it to that one too: ^C and a
/// terminal that hangs up reach every process of the foreground group.
void pass_on(const ReceivedSignal& signal, const Child& master);

/// The part of the process that was started, after another master has begun to serve in its place.
/// The program that has started it (a shell, runit, a container's engine, or the kernel for process
/// 1) waits for this process and signals it. So it stays: it forwards signals to the master that
/// serves, reaps processes that become its children, and ends with that master's status. It holds
/// only a few descriptors.
class OriginalProcess {
 public:
  /// Says which process serves.
  enum class Phase {
    serving,        ///< this process is the master; it may have started a successor
    forwarding,     ///< a successor serves
    awaiting_heir,  ///< all masters have ended, and a process that was not named has the socket
    over,           ///< all masters have ended, and none takes their place
  };

  /// The time in which a successor that was not named must name itself, which it does as soon as
  /// its program runs. A successor of a version that does not do that would keep this process for
  /// ever.
  static constexpr Duration kHeirPatience = std::chrono::seconds(10);

  /// Makes the socket for its successors. Throws SystemError.
  explicit OriginalProcess(Report report, Duration heir_patience = kHeirPatience);
  OriginalProcess(const OriginalProcess&) = delete;
  OriginalProcess& operator=(const OriginalProcess&) = delete;

  Phase phase() const { return phase_; }
  /// Returns the end of the socket that every successor inherits; still owned here, and closed when
  /// one has taken over.
  int successors_end() const { return theirs_.get(); }
  /// Returns a descriptor that is readable when receive() has something to read.
  int fd() const { return ours_.get(); }

  /// Called when a successor was started by this process or by the master that serves.
  void successor_started(Child successor);
  /// Called when that successor serves.
  void successor_took_over();
  /// Returns the master that serves; only if one does or has done so.
  pid_t serving() const { return masters_.back().process.pid(); }

  /// Reads the notices that have arrived. Does not block. Returns whether more can arrive.
  bool receive();
  /// Passes a signal on: one that stops to all masters, also those that still drain, any other one
  /// to the master that serves.
  void forward(const ReceivedSignal& signal);
  /// Returns whether a signal that stops was forwarded.
  bool told_to_stop() const { return told_to_stop_; }

  /// Forwards signals and reaps children until the phase is `over`, and blocks until then.
  /// `signals` are those to forward, and SIGCHLD. Returns how the master that served last has
  /// ended, or one that still drained when a signal stopped both, if only that one failed; nothing
  /// if that cannot be known. No Child but those given to this object may wait to be reaped.
  std::optional<ExitStatus> run(const SignalMask& signals);

 private:
  void take(Notice notice, std::string_view rest, std::vector<Fd>& descriptors);
  bool is_serving(pid_t pid) const;
  void forget_ended();
  void reap_children();
  void master_ended(const Child& master, std::optional<ExitStatus> status);
  void look_for_heir();
  void wait_for_event(int signals) const;

  struct Successor {
    Child process;
    std::optional<ExitStatus> status;  ///< set when it was reaped
  };

  Report report_;
  Duration heir_patience_;
  Fd ours_;
  Fd theirs_;
  Phase phase_ = Phase::serving;
  bool told_to_stop_ = false;
  std::optional<Child> candidate_;     ///< a successor that does not serve yet
  std::vector<Successor> masters_;     ///< those that have taken over and live, the oldest first
  std::optional<ExitStatus> told_;     ///< what the master that serves has said of its end
  std::optional<ExitStatus> cut_off_;  ///< of one that drained when all were told to stop, if it
                                       ///< was no success
  std::optional<ExitStatus> last_;     ///< how the last of them has ended
  pid_t last_pid_ = 0;                 ///< its number
  TimePoint heir_limit_ = kNever;      ///< until when an unnamed successor is awaited
  std::vector<ReceivedSignal> unforwarded_;  ///< signals for the master that serves next
};

}  // namespace handoff
