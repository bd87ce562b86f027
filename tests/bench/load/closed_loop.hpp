// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "load/times.hpp"

namespace load {

struct LoadOptions {
  std::string address;
  std::string request;  ///< the frame
  std::size_t connections = 1;
  std::size_t in_flight = 1;  ///< on each
  std::chrono::duration<double> seconds{2};
  std::chrono::duration<double> warm_up{0.2};
};

struct LoadResult {
  std::uint64_t replies = 0;  ///< that came within the seconds of the measurement
  Times times;                ///< of the requests that were sent within them
  std::uint64_t errors = 0;   ///< replies that were errors, or no replies; not counted above
  std::string first_error;    ///< its beginning
  double own_cpu = 0;         ///< the share of a core that this process has used
};

/// Connections on which so many requests are under way at any time: the next one is sent when a
/// reply comes. Throws when a connection fails, or the last replies do not come within 10 seconds.
class ClosedLoop {
 public:
  /// Connects.
  explicit ClosedLoop(const LoadOptions& options);
  ~ClosedLoop();
  ClosedLoop(const ClosedLoop&) = delete;
  ClosedLoop& operator=(const ClosedLoop&) = delete;

  /// Measures, and waits for the last replies. Once.
  const LoadResult& run();

 private:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;
  struct Connection;

  void request(Connection& connection, std::size_t count, TimePoint now);
  void flush(Connection& connection);
  void receive(Connection& connection);
  /// Gives the number of replies.
  std::size_t take_replies(Connection& connection, std::string_view bytes);
  void watch(Connection& connection, bool waits_for_room);

  LoadOptions options_;
  int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::string requests_;      ///< the request, several times
  std::vector<char> buffer_;  ///< for what arrives
  TimePoint begin_;
  TimePoint end_;
  std::size_t under_way_ = 0;
  LoadResult result_;
};

}  // namespace load
