// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "load/connection.hpp"
#include "load/options.hpp"

namespace load {

/// Sends requests and times the replies. In a closed loop each connection has so many requests
/// under way at any time: the next one is sent when a reply comes. In an open loop requests are due
/// at times that chance has chosen, whatever comes back, and are timed from then, also if they
/// could be sent only later; chance chooses the connection too.
///
/// Throws when a connection fails, or the last replies do not come within 10 seconds.
class Loop {
 public:
  /// Connects, unless each request has a connection of its own.
  explicit Loop(const LoadOptions& options);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Measures, and waits for the last replies. Once.
  const LoadResult& run();

 private:
  bool is_open() const { return options_.rate > 0; }
  bool is_over() const;
  void start();
  void turn(TimePoint now);
  timespec wait(TimePoint now);
  /// What the clocks of the processes show, at the begin and at the end.
  void read_cpu_times(TimePoint now);

  /// Sends what is due by now.
  void send_due(TimePoint now);
  Connection* choose();
  void connect(Connection& connection);
  void request(Connection& connection, std::size_t count, TimePoint when);
  void flush(Connection& connection);
  void watch(Connection& connection, bool waits_for_room);

  void receive(Connection& connection);
  /// Gives the number of replies.
  std::size_t take_replies(Connection& connection, std::string_view bytes);
  void go_on(Connection& connection, std::size_t replies);

  LoadOptions options_;
  int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> free_;  ///< of those that are not connected
  std::string requests_;           ///< the request, several times
  std::vector<char> buffer_;       ///< for what arrives
  TimePoint begin_;
  TimePoint end_;
  TimePoint next_;                 ///< when a request is due, in an open loop
  std::deque<TimePoint> waiting_;  ///< those that found no free connection
  std::size_t under_way_ = 0;
  std::mt19937_64 chance_;
  int cpu_times_read_ = 0;
  LoadResult result_;
};

}  // namespace load
