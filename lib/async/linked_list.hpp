// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <cstddef>

namespace handoff {

template <typename T, typename Tag>
class LinkedList;

/// The base class of things that can be in a LinkedList. A thing that is to be in several lists at
/// a time has a base class for each, which differ by their tags.
template <typename Tag = void>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  /// Returns whether the object is in a list of this tag.
  bool is_listed() const { return next_ != nullptr; }

 protected:
  ~ListNode() { assert(!is_listed()); }

 private:
  template <typename T, typename AnyTag>
  friend class LinkedList;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

/// A list of objects that are owned elsewhere. Nothing is allocated, and everything but iteration
/// takes constant time. An object must leave the list before it is destroyed, and the list must be
/// empty when it is destroyed.
///
///     struct Call : ListNode<struct Running> { ... };
///     LinkedList<Call, Running> running;
template <typename T, typename Tag = void>
class LinkedList {
 public:
  LinkedList() { clear_ends(); }
  LinkedList(const LinkedList&) = delete;
  LinkedList& operator=(const LinkedList&) = delete;
  ~LinkedList() {
    assert(empty());
    ends_.next_ = nullptr;
  }

  bool empty() const { return ends_.next_ == &ends_; }
  std::size_t size() const { return size_; }
  /// The first and the last object; the list must not be empty.
  T& front() const { return as_object(*ends_.next_); }
  T& back() const { return as_object(*ends_.previous_); }

  /// `object` must not be in a list of this tag.
  void push_back(T& object) { insert(ends_, object); }
  void push_front(T& object) { insert(*ends_.next_, object); }
  /// Inserts `object` before `next`, which is in this list.
  void insert_before(T& next, T& object) { insert(next, object); }
  /// Removes `object`, which is in this list.
  void remove(T& object) {
    Node& node = object;
    assert(node.is_listed());
    node.previous_->next_ = node.next_;
    node.next_->previous_ = node.previous_;
    node.next_ = node.previous_ = nullptr;
    --size_;
  }
  /// Removes the first object and returns it; the list must not be empty.
  T& pop_front() {
    T& first = front();
    remove(first);
    return first;
  }

  /// Returns the object after `object`, which is in this list; null if that is the last.
  T* after(const T& object) const {
    const Node& node = object;
    return node.next_ == &ends_ ? nullptr : &as_object(*node.next_);
  }
  /// Returns the first object, or null.
  T* first() const { return empty() ? nullptr : &front(); }

 private:
  using Node = ListNode<Tag>;
  /// The node before the first object and after the last one, which makes the list a ring.
  struct Ends final : Node {
    ~Ends() = default;
  };

  static T& as_object(Node& node) { return static_cast<T&>(node); }
  void insert(Node& next, T& object) {
    Node& node = object;
    assert(!node.is_listed());
    node.next_ = &next;
    node.previous_ = next.previous_;
    next.previous_->next_ = &node;
    next.previous_ = &node;
    ++size_;
  }
  void clear_ends() { ends_.next_ = ends_.previous_ = &ends_; }

  Ends ends_;
  std::size_t size_ = 0;
};

}  // namespace handoff
