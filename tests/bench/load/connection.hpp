// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <variant>

#include "load/reply_reader.hpp"

namespace load {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

/// A connection with requests under way; the Loop's own.
struct Connection {
  explicit Connection(bool http) {
    if (http) { reader.emplace<HttpReader>(); }
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void close();
  /// At once and in the eyes of both sides: nothing is left in TIME_WAIT, or the ports of this
  /// machine would be used up within seconds.
  void reset();

  int socket = -1;
  std::variant<FrameReader, HttpReader> reader;
  std::deque<TimePoint> sent;  ///< when each request that is under way was sent, or was due
  std::size_t unsent = 0;      ///< bytes of them that the socket has not taken yet
  bool waits_for_room = false;
};

}  // namespace load
