// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "rpc/calls_under_way.hpp"
#include "rpc/session_call.hpp"

namespace handoff {

/// A reactor's store of unused objects for calls, so that a busy server need not allocate them.
/// Used on the reactor's thread only.
class CallPools {
 public:
  /// Returns an unused call. The caller owns it, and gives it back with give_back(). Throws
  /// std::bad_alloc.
  SessionCall& take_call() {
    if (calls_.empty()) { return *std::make_unique<SessionCall>().release(); }
    SessionCall& call = *calls_.back().release();
    calls_.pop_back();
    return call;
  }
  /// Takes the call back and clears it. It must not be in any list.
  void give_back(SessionCall& call) {
    call.clear();
    keep(calls_, std::unique_ptr<SessionCall>(&call));
  }

  /// Returns unused lists for the calls of a connection. Throws std::bad_alloc.
  std::unique_ptr<CallsUnderWay> take_under_way() {
    if (under_way_.empty()) { return std::make_unique<CallsUnderWay>(); }
    std::unique_ptr<CallsUnderWay> calls = std::move(under_way_.back());
    under_way_.pop_back();
    return calls;
  }
  /// Takes back lists, which must be empty.
  void give_back(std::unique_ptr<CallsUnderWay> calls) {
    if (calls->client_left.cancelled()) { return; }
    calls->held = 0;
    keep(under_way_, std::move(calls));
  }

 private:
  static constexpr std::size_t kMostKept = 1024;

  template <typename T>
  static void keep(std::vector<std::unique_ptr<T>>& pool, std::unique_ptr<T> unused) {
    if (pool.size() < kMostKept) { pool.push_back(std::move(unused)); }
  }

  std::vector<std::unique_ptr<SessionCall>> calls_;
  std::vector<std::unique_ptr<CallsUnderWay>> under_way_;
};

}  // namespace handoff
