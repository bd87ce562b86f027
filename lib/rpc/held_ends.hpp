// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include <handoff/rpc/call.hpp>

namespace handoff {

class SessionCall;

/// Calls that have ended while another one began. They end once the caller of that is done: it may
/// be in the middle of the replies of a connection.
class HeldEnds {
 public:
  /// While there is one, an executor begins a call.
  class Beginning {
   public:
    explicit Beginning(HeldEnds& ends) : ends_(ends) {
      ++ends_.beginning_;
      ends_.has_begun_ = true;
    }
    Beginning(const Beginning&) = delete;
    Beginning& operator=(const Beginning&) = delete;
    ~Beginning() { --ends_.beginning_; }

   private:
    HeldEnds& ends_;
  };

  bool are_held() const { return beginning_ > 0; }
  /// Keeps the result; SessionCall::is_put_aside() from now on.
  void hold(SessionCall& call, const ResultView& result);
  /// The call is about to be destroyed.
  void forget(const SessionCall& call);
  /// Ends all calls that are held. Returns whether any call has begun since this was called last.
  bool release();

 private:
  std::vector<SessionCall*> held_;
  std::size_t beginning_ = 0;
  bool has_begun_ = false;
};

}  // namespace handoff
