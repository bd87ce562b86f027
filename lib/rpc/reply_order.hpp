// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "async/linked_list.hpp"

namespace handoff {

/// The replies of one connection that leave in the order of their requests: those that have no id.
/// One that is ready stays until all before it have left.
class ReplyOrder {
 public:
  /// The place of one reply. Its owner keeps it until it has left.
  class Place : private ListNode<ReplyOrder> {
   public:
    /// Whether it is in an order.
    bool has_place() const { return is_listed(); }

   protected:
    Place() = default;
    ~Place() = default;

   private:
    friend class ReplyOrder;
    friend class LinkedList<Place, ReplyOrder>;
    enum class State : std::uint8_t { awaited, ready };
    std::string reply_;
    State state_ = State::awaited;
  };

  bool empty() const { return places_.empty(); }
  std::size_t size() const { return places_.size(); }
  /// Bytes of the replies that wait.
  std::size_t held() const { return held_; }
  bool is_first(const Place& place) const { return places_.first() == &place; }

  /// The last place so far.
  void add(Place& place) {
    place.state_ = Place::State::awaited;
    places_.push_back(place);
  }
  /// Keeps the encoded reply, which is complete, until those before it have left.
  void keep(Place& place, const std::string& reply) {
    place.reply_ = reply;
    place.state_ = Place::State::ready;
    held_ += reply.size();
  }
  /// The reply has left by another way, or never will.
  void remove(Place& place) {
    held_ -= place.reply_.size();
    // A place may be used again for as long as its owner likes.
    if (place.reply_.capacity() > 0) { std::string().swap(place.reply_); }
    places_.remove(place);
  }
  /// Appends the first reply to `out` and removes its place, which is returned; null when the first
  /// reply is not ready.
  Place* leave(std::string& out) {
    Place* first = places_.first();
    if (first == nullptr || first->state_ == Place::State::awaited) { return nullptr; }
    out.append(first->reply_);
    remove(*first);
    return first;
  }
  /// Any place, to be removed; null when there is none.
  Place* first() const { return places_.first(); }

 private:
  LinkedList<Place, ReplyOrder> places_;
  std::size_t held_ = 0;
};

}  // namespace handoff
