// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/address.hpp"
#include "os/signals.hpp"
#include "ping/statistics.hpp"
#include "wire/limits.hpp"

namespace handoff {

/// How a pinger probes. Every number is for each address.
struct PingOptions {
  enum class Pace {
    interval,  ///< a probe every `interval`, whatever comes back
    adaptive,  ///< the next probe when one has come back or is lost
    flood,     ///< as adaptive, and 100 a second at least unless `in_flight` is set
    rate,      ///< `rate` a second, each timed from when it was due, also if it was sent later
  };

  Pace pace = Pace::interval;
  std::uint64_t count = 0;  ///< probes (with `deadline`: replies) after which it ends; 0 is never
  Duration interval = std::chrono::seconds(1);        ///< pace `interval`
  double rate = 0;                                    ///< pace `rate`
  Duration reply_timeout = std::chrono::seconds(10);  ///< then a probe is lost; 0 is never
  Duration deadline{};                                ///< of everything; 0 is none
  Duration connect_timeout = std::chrono::seconds(10);
  std::size_t size = 56;        ///< bytes of params
  std::size_t connections = 1;  ///< that take turns; with `reconnect`: at a time
  std::size_t in_flight = 0;    ///< at most, on each connection; 0 is the pace's own choice
  bool reconnect = false;       ///< a connection for each probe, whose time includes connecting
  bool wait_until_up = false;   ///< at first, connect again and again until a ping is answered

  /// A frame of the default limit has room for so much, beside what a request and a reply have
  /// around their params.
  static constexpr std::size_t kMostSize = limits::kMaxFrame - 64;
  static constexpr std::size_t kMostInFlight = 65536;
  static constexpr std::size_t kMostConnections = 65536;

  /// Throws InvalidArgument when these are out of range, or do not go together.
  void check(const std::vector<Address>& addresses) const;
  /// Why a probe is lost that is not answered by `reply_timeout`: "no reply within 10s".
  std::string no_reply() const;
};

/// One address and what its probes gave.
struct PingResult {
  enum class Verdict {
    answered,
    no_reply,         ///< or fewer than `count` by the deadline
    unreachable,      ///< there was never a connection; the only address is not tried again
    cannot_send,      ///< this host has no port left for a connection; probing ended there
    protocol_broken,  ///< something else than a reply came; probing ended there
  };

  std::string address;  ///< as the user wrote it
  std::string peer;     ///< the numeric address of the first connection, empty if there was none
  PingStatistics statistics;
  Duration duration{};      ///< from the first probe to the last thing that happened
  Duration connect_time{};  ///< of the first connection
  bool over_tcp = false;
  bool started = false;  ///< there is something to report
  Verdict verdict = Verdict::no_reply;

  /// Whether its times look like those of a server that writes a reply in two parts with Nagle's
  /// algorithm on: the second waits for the 40 ms delayed ACK of the first (tcp(7)).
  bool looks_like_delayed_ack() const;
};

/// Is told what happens while a pinger runs, on its thread. What takes long here delays probes.
class PingObserver {
 public:
  /// The first connection is there (`peer` is empty when it is not, and others are pinged too).
  virtual void on_start(const PingResult& result) = 0;
  virtual void on_sent(const PingResult& result, std::uint64_t seq) = 0;
  virtual void on_pong(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  virtual void on_lost(const PingResult& result, std::uint64_t seq, std::string_view why) = 0;
  /// A reply came that is no pong with the params of the probe; on_lost() follows.
  virtual void on_error(const PingResult& result, std::uint64_t seq, std::string_view problem) = 0;
  /// A reply to a probe that is lost already.
  virtual void on_late(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  /// One more reply to a probe that has one.
  virtual void on_duplicate(const PingResult& result, std::uint64_t seq, Duration rtt) = 0;
  /// A server is not up yet, and waited for, "cannot connect to ADDRESS: why (waiting)"; once for
  /// each address.
  virtual void on_waiting(std::string_view text) = 0;
  /// Something failed, "cannot ping ADDRESS: why", and its probes with it; on_lost() follows for
  /// each.
  virtual void on_trouble(std::string_view text) = 0;
  /// Worth saying to somebody who wants to know more.
  virtual void on_detail(std::string_view text) = 0;
  /// The user wants to know how it is going.
  virtual void on_status_request(const std::vector<const PingResult*>& results) = 0;

 protected:
  ~PingObserver() = default;
};

class PingTarget;
struct PingRun;

/// Pings one or more servers together. Replies are matched to probes by their order on a
/// connection, so every server of the article's protocol will do.
class Pinger {
 public:
  /// The observer must outlive it, and it must outlive its run on the reactor.
  Pinger(Reactor& reactor, const PingOptions& options, std::vector<Address> addresses,
         PingObserver& observer);
  ~Pinger();
  Pinger(const Pinger&) = delete;
  Pinger& operator=(const Pinger&) = delete;

  /// Probes until all is done, the deadline has passed or stop() was called: give it to
  /// Reactor::run.
  Task<void> run();

  /// Sends no more, and ends once what may come any moment has come (twice the longest round trip
  /// so far, 100 ms at most). Called again: ends at once.
  void stop();

  /// Sends no probe until resume() is called, and goes on to take replies; what would have been due
  /// meanwhile is not made up for.
  void pause();
  void resume();

  /// Stops at SIGINT, asks for the status at SIGQUIT. Spawn it; `signals` must outlive it.
  Task<void> obey(const SignalMask& signals);

  /// In the order of the addresses; valid for as long as this object.
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
