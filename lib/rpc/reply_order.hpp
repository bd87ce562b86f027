// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <list>
#include <string>

namespace handoff {

/// The replies of one connection that leave in the order of their requests: those that have no id.
/// One that is ready stays until all before it have left.
class ReplyOrder {
 public:
  /// The place of one reply.
  class Place {
   public:
    /// To append the encoded reply to.
    std::string& reply() { return reply_; }

   private:
    friend class ReplyOrder;
    std::string reply_;
    std::size_t counted_ = 0;  ///< bytes of it in held_
    bool done_ = false;
  };

  bool empty() const { return places_.empty(); }
  std::size_t size() const { return places_.size(); }
  /// Bytes of the replies that wait.
  std::size_t held() const { return held_; }

  /// The last place so far. Valid until its reply has left.
  Place& add() { return places_.emplace_back(); }
  /// The reply is complete, but for others before it.
  void done(Place& place) {
    held_ += place.reply_.size() - place.counted_;
    place.counted_ = place.reply_.size();
    place.done_ = true;
  }
  /// Moves the replies that may leave to `out`.
  void leave(std::string& out) {
    while (!places_.empty() && places_.front().done_) {
      out.append(places_.front().reply_);
      held_ -= places_.front().counted_;
      places_.pop_front();
    }
  }

 private:
  std::list<Place> places_;
  std::size_t held_ = 0;
};

}  // namespace handoff
