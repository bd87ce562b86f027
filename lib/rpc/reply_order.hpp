// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "async/linked_list.hpp"

namespace handoff {

/// The replies of one connection that have no id and therefore leave in the order of their
/// requests. A reply that is ready waits until all replies before it have left.
class ReplyOrder {
 public:
  /// The place of one reply in the order. Its owner must keep it until the reply has left or was
  /// removed.
  class Place : private ListNode<ReplyOrder> {
   public:
    /// Returns whether this place is in an order.
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
  /// Returns the number of bytes of the replies that wait.
  std::size_t held() const { return held_; }
  /// Returns whether no other reply is before this one.
  bool is_first(const Place& place) const { return places_.first() == &place; }

  /// Adds a place at the end.
  void add(Place& place) {
    place.state_ = Place::State::awaited;
    places_.push_back(place);
  }
  /// Keeps a copy of the reply, which is a complete frame, until those before it have left.
  void keep(Place& place, const std::string& reply) {
    place.reply_ = reply;
    place.state_ = Place::State::ready;
    held_ += reply.size();
  }
  /// Removes a place whose reply has left by another way, or will never come.
  void remove(Place& place) {
    held_ -= place.reply_.size();
    // The owner may use the place again and again: this frees the memory of the reply.
    if (place.reply_.capacity() > 0) { std::string().swap(place.reply_); }
    places_.remove(place);
  }
  /// Appends the first reply to `out`, removes its place, and returns the place. Returns null if
  /// the first reply is not ready, or there is none.
  Place* leave(std::string& out) {
    Place* first = places_.first();
    if (first == nullptr || first->state_ == Place::State::awaited) { return nullptr; }
    out.append(first->reply_);
    remove(*first);
    return first;
  }
  /// Returns the first place, or null if there is none.
  Place* first() const { return places_.first(); }

 private:
  LinkedList<Place, ReplyOrder> places_;
  std::size_t held_ = 0;
};

}  // namespace handoff
