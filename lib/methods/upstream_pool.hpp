// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <handoff/async/reactor.hpp>

#include "methods/upstream.hpp"
#include "os/address_list.hpp"
#include "rpc/pending_call.hpp"

namespace handoff {

/// Several servers of which each answers the same calls, or a single one. A call goes to the server
/// that has the fewest calls of this pool.
///
/// - A server that can't be connected to, that shuts down, or that lets the deadline of a call pass
///   in silence, is left out for a while, which doubles with each failure; as long as others are
///   up, no call waits for an attempt.
/// - A call that one server has not run, because the connection could not be made or the server
///   shuts down, goes to the next one.
///
/// One reactor uses it, on its thread.
class UpstreamPool final : public CallExecutor {
 public:
  /// Connects to a server when there is a first call for it. The reactor must outlive this object.
  UpstreamPool(Reactor& reactor, const AddressList& servers, const UpstreamOptions& options = {});
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;
  /// Finishes the calls that wait with an error, and closes the connections.
  virtual ~UpstreamPool();

  // The functions of CallExecutor.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  void cancel(PendingCall& call) override;

 private:
  /// Returns the server that gets the next call, or null if none but `except` can be expected to
  /// answer.
  Upstream* choose(const Upstream* except);
  /// Begins a call that `except` has not run at another server: one that is up, or one to which an
  /// attempt to connect is under way. Returns false if there is none.
  bool begin_elsewhere(PendingCall& call, const Upstream& except);
  /// Returns a server for a call when none is up: one that shuts down and may still answer, or one
  /// that it is time to try again, or else any, which fails the call.
  Upstream& choose_down() const;
  /// Returns the server for which the call waits.
  Upstream& server_of(const PendingCall& call) const;

  std::vector<std::unique_ptr<Upstream>> servers_;
  std::size_t next_ = 0;  ///< where the search begins, so that equals take turns
};

}  // namespace handoff
