// SPDX-License-Identifier: MIT
#include <handoff/async/timer_heap.hpp>

namespace handoff {

void TimerHeap::arm(Node& node, TimePoint due) {
  if (due == kNever) { return disarm(node); }
  node.due = due;
  if (!node.is_armed()) {
    entries_.push_back({due, &node});
    sift_up(entries_.size() - 1);
  } else if (due < entries_[node.index].armed) {
    entries_[node.index].armed = due;
    sift_up(node.index);
  }
}

void TimerHeap::disarm(Node& node) {
  if (node.is_armed()) { remove(node.index); }
}

bool TimerHeap::fire_next(TimePoint now) {
  while (!is_empty() && next() <= now) {
    Node& node = *entries_.front().node;
    if (node.due > now) {
      entries_.front().armed = node.due;
      sift_down(0);
      continue;
    }
    remove(0);
    node.on_timer();
    return true;
  }
  return false;
}

void TimerHeap::place(std::size_t index, Entry entry) {
  entries_[index] = entry;
  entry.node->index = static_cast<std::uint32_t>(index);
}

void TimerHeap::sift_up(std::size_t index) {
  const Entry entry = entries_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (entries_[parent].armed <= entry.armed) { break; }
    place(index, entries_[parent]);
    index = parent;
  }
  place(index, entry);
}

void TimerHeap::sift_down(std::size_t index) {
  const Entry entry = entries_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= entries_.size()) { break; }
    if (child + 1 < entries_.size() && entries_[child + 1].armed < entries_[child].armed) {
      ++child;
    }
    if (entry.armed <= entries_[child].armed) { break; }
    place(index, entries_[child]);
    index = child;
  }
  place(index, entry);
}

void TimerHeap::remove(std::size_t index) {
  entries_[index].node->index = Node::kNotArmed;
  const Entry last = entries_.back();
  entries_.pop_back();
  if (index == entries_.size()) { return; }
  place(index, last);
  sift_up(index);
  sift_down(last.node->index);
}

}  // namespace handoff
