// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/address.hpp>
#include <handoff/wire/limits.hpp>

#include "os/signals.hpp"
#include "ping/statistics.hpp"

namespace handoff {

/// How a pinger probes. Every number applies to each address by itself.
struct PingOptions {
  enum class Pace {
    interval,  ///< a probe every `interval`, whether or not replies arrive
    adaptive,  ///< the next probe as soon as one is answered or lost
    flood,     ///< as adaptive, and at least 100 a second unless `in_flight` is set
    rate,  ///< `rate` probes a second, each timed from when it was due, even if it was sent later
  };

  Pace pace = Pace::interval;
  std::uint64_t count = 0;  ///< probes (with `deadline`: replies) after which it ends; 0 is no end
  Duration interval = std::chrono::seconds(1);  ///< at pace `interval`: the time between probes
  double rate = 0;                              ///< at pace `rate`: probes per second
  Duration reply_timeout = std::chrono::seconds(10);  ///< after this a probe is lost; 0 is never
  Duration deadline{};                                ///< of the whole run; 0 is none
  Duration connect_timeout = std::chrono::seconds(10);
  std::string method = "ping";  ///< the method that is called
  std::string params;           ///< its params as JSON; empty: `size` bytes that number the probe
  std::size_t size = 56;        ///< the length of such params in bytes
  std::size_t connections = 1;  ///< connections that take turns; with `reconnect`: at a time
  std::size_t in_flight = 0;   ///< most probes under way on each connection; 0 lets the pace decide
  bool reconnect = false;      ///< a connection for each probe, whose time includes connecting
  bool wait_until_up = false;  ///< begins by connecting again and again until a ping is answered

  /// The longest params: with what a request and a reply add to them, they fit into a frame of the
  /// default limit.
  static constexpr std::size_t kMostSize = limits::kMaxFrame - 64;
  static constexpr std::size_t kMostInFlight = 65536;
  static constexpr std::size_t kMostConnections = 65536;

  /// Throws InvalidArgument if an option is out of range, or if options or addresses do not go
  /// together.
  void check(const std::vector<Address>& addresses) const;
  /// Returns why a probe is lost that is not answered within `reply_timeout`: "no reply within
  /// 10s".
  std::string no_reply() const;
};

/// One address and the results of its probes.
struct PingResult {
  /// The outcome for the address as a whole, from which the exit status follows.
  enum class Verdict {
    answered,
    no_reply,         ///< no probe was answered, or fewer than `count` by the deadline
    unreachable,      ///< there never was a connection; a single address is not tried again
    cannot_send,      ///< this host has no local port left; the pinger then stops probing
    protocol_broken,  ///< something other than a reply arrived; the pinger then stops probing
  };

  std::string address;  ///< the address as the user wrote it
  std::string peer;     ///< the numeric address of the first connection, empty if there was none
  PingStatistics statistics;
  Duration duration{};      ///< from the first probe to the last event
  Duration connect_time{};  ///< how long the first connection took
  bool over_tcp = false;
  bool started = false;  ///< probing has begun, so there is something to report
  Verdict verdict = Verdict::no_reply;

  /// Returns whether the times look like those of a server that writes a reply in two parts with
  /// Nagle's algorithm on: the second part waits for the delayed ACK of the first, 40 ms (tcp(7),
  /// TCP_NODELAY).
  bool looks_like_delayed_ack() const;
};

/// The observer of a pinger, which calls it on its thread while it runs. An implementation must be
/// quick and must not block: its time delays probes. The results stay valid for as long as the
/// pinger.
class PingObserver {
 public:
  /// Called once for each address, when the first connection exists, or does not and other
  /// addresses are pinged too; `result.peer` is empty then.
  virtual void on_start(const PingResult& result) = 0;
  /// Called when a probe was sent or is about to be; `seq` counts from 1.
  virtual void on_sent(const PingResult& result, std::uint64_t seq) = 0;
  /// Called when a probe was answered.
  virtual void on_pong(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  /// Called when a probe is lost; `why` is a phrase.
  virtual void on_lost(const PingResult& result, std::uint64_t seq, std::string_view why) = 0;
  /// Called when a reply is not a pong with the params of its probe; on_lost() follows.
  virtual void on_error(const PingResult& result, std::uint64_t seq, std::string_view problem) = 0;
  /// Called for a reply to a probe that is already lost.
  virtual void on_late(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  /// Called for another reply to a probe that has one.
  virtual void on_duplicate(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  /// Called once for each address while its server is waited for: "cannot connect to ADDRESS: why
  /// (waiting)".
  virtual void on_waiting(std::string_view text) = 0;
  /// Called when something failed, such as "cannot ping ADDRESS: why"; on_lost() follows for each
  /// probe that it cost.
  virtual void on_trouble(std::string_view text) = 0;
  /// Called with what helps a user who asks for details.
  virtual void on_detail(std::string_view text) = 0;
  /// Called when the user asks for the state, by SIGQUIT.
  virtual void on_status_request(const std::vector<const PingResult*>& results) = 0;

 protected:
  ~PingObserver() = default;
};

class PingTarget;
struct PingRun;

/// Pings one or more servers at the same time. Replies are matched to probes by their order on a
/// connection, so any server that speaks the protocol can be pinged.
class Pinger {
 public:
  /// The reactor and the observer must outlive this object, which must outlive its run on the
  /// reactor. `options` must have passed PingOptions::check().
  Pinger(Reactor& reactor, const PingOptions& options, std::vector<Address> addresses,
         PingObserver& observer);
  ~Pinger();
  Pinger(const Pinger&) = delete;
  Pinger& operator=(const Pinger&) = delete;

  /// Probes until all is done, the deadline has passed, or stop() was called. Pass it to
  /// Reactor::run(). Failures of servers are results; see results().
  Task<void> run();

  /// Sends no more probes, and ends run() after a moment in which replies may still arrive: twice
  /// the longest round trip so far, at most 100 ms. The second call ends run() at once.
  void stop();

  /// pause() stops sending probes until resume() is called, while replies are still counted. Probes
  /// that would have been due meanwhile are not sent later.
  void pause();
  void resume();

  /// Calls on_status_request() at SIGQUIT, and stop() at any other signal of the mask, such as
  /// SIGINT. It never ends by itself: spawn it. `signals` must outlive the task.
  Task<void> obey(const SignalMask& signals);

  /// Returns the results in the order of the addresses. They are valid for as long as this object.
  std::vector<const PingResult*> results() const;

 private:
  Task<void> end_at(TimePoint when);
  void finish_probing();

  std::unique_ptr<PingRun> run_;
  bool finishing_ = false;
  bool deadline_passed_ = false;
  std::vector<std::unique_ptr<PingTarget>> targets_;
};

}  // namespace handoff
