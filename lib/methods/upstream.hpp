// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/backoff.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/address.hpp"
#include "rpc/method_table.hpp"
#include "wire/limits.hpp"

namespace handoff {

struct ForwardOptions {
  std::size_t max_links = 8;          ///< connections to one server
  std::size_t calls_before_next = 4;  ///< on every connection, before another one is made
  std::size_t max_calls = 128;        ///< on one connection at a time
  std::size_t max_unsent = 4 << 20;   ///< bytes that wait for one connection to take them
  std::uint32_t max_frame = limits::kMaxFrame;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration first_pause = std::chrono::milliseconds(20);  ///< after a connect failed; doubled
  Duration last_pause = std::chrono::seconds(1);         ///< up to this
};

/// Another server that answers methods for us, over a few connections that are kept. Calls are
/// pipelined: each goes out at once with an id, and its reply may come before those of earlier
/// ones. A server that gives no ids back must reply in order; one that replies without a call loses
/// the connection, lest that is taken for the reply to the next call.
///
/// - No call waits longer than its deadline. What comes for it later is dropped.
/// - While the server can't be connected to, calls fail at once (`unreachable`); from time to time
///   one of them tries again.
/// - A connection that ends takes its calls with it (`worker_died`): they may have been run.
/// - A connection on which a deadline passed in silence, or on which the server has refused to read
///   on, gets no more calls, and ends with the last of those that it has.
class Forward {
 public:
  /// The reactor must outlive this object.
  Forward(Reactor& reactor, Address address, ForwardOptions options = {});
  Forward(const Forward&) = delete;
  Forward& operator=(const Forward&) = delete;
  ~Forward();

  /// Has the server run the call. Its errors come back as they are.
  Task<Result> call(Call call);

 private:
  class Link;

  std::shared_ptr<Link> take_link(Result& problem);
  void connected();
  void failed(const std::string& problem);
  void forget(const Link& link);

  Reactor& reactor_;
  Address address_;
  ForwardOptions options_;
  std::vector<std::shared_ptr<Link>> links_;
  std::string problem_;      ///< why the server can't be connected to; empty while it can
  bool echoes_ids_ = false;  ///< the server has given an id back
  Backoff backoff_;
  TimePoint next_attempt_{};
};

}  // namespace handoff
