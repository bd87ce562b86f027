// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include <handoff/rpc/call.hpp>

namespace handoff {

class SessionCall;

/// Holds the results of calls that have ended while another call was being begun. They are
/// delivered later, because the code that begins a call may be in the middle of writing the replies
/// of a connection. Used on the reactor's thread only.
class HeldEnds {
 public:
  /// An executor is beginning a call as long as one of these exists.
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

  /// Returns whether a call that ends now has to be held.
  bool are_held() const { return beginning_ > 0; }
  /// Keeps a copy of the result with the call, which is_put_aside() from now on.
  void hold(SessionCall& call, const ResultView& result);
  /// Drops a held call that is about to be destroyed.
  void forget(const SessionCall& call);
  /// Ends all calls that are held. Returns whether any call has begun since the last time.
  bool release();

 private:
  std::vector<SessionCall*> held_;
  std::size_t beginning_ = 0;
  bool has_begun_ = false;
};

}  // namespace handoff
