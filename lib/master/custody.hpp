// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "wire/limits.hpp"

namespace handoff {

/// Counts the descriptors of the connections that a master has in its hands: those that wait for a
/// worker, and those that are on their way to one. There can be fewer of them than connections, so
/// a master takes back only what it has room for; the rest waits in the channels of the workers.
///
/// Not for several threads. It must outlive its holds.
class Custody {
 public:
  /// One connection in the master's hands, until this is destroyed.
  class Hold {
   public:
    Hold() = default;
    /// `unread` is how many bytes a worker has read from it and not used. `passed_id` is the number
    /// that a predecessor gave the connection; 0 when it came from elsewhere. See
    /// Custody::on_passed_on.
    Hold(Custody& custody, std::size_t descriptors, std::uint64_t passed_id = 0,
         std::size_t unread = 0)
        : custody_(&custody), descriptors_(descriptors), unread_(unread), passed_id_(passed_id) {
      custody.descriptors_ += descriptors;
      custody.unread_ += unread;
    }
    Hold(Hold&& other) noexcept
        : custody_(std::exchange(other.custody_, nullptr)),
          descriptors_(other.descriptors_),
          unread_(other.unread_),
          passed_id_(other.passed_id_) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(custody_, other.custody_);
      std::swap(descriptors_, other.descriptors_);
      std::swap(unread_, other.unread_);
      std::swap(passed_id_, other.passed_id_);
      return *this;
    }
    ~Hold() {
      if (custody_ != nullptr) { custody_->release(descriptors_, unread_, passed_id_); }
    }

   private:
    Custody* custody_ = nullptr;
    std::size_t descriptors_ = 0;
    std::size_t unread_ = 0;
    std::uint64_t passed_id_ = 0;
  };

  Custody(Reactor& reactor, std::size_t workers) : reactor_(reactor) { set_workers(workers); }
  Custody(const Custody&) = delete;
  Custody& operator=(const Custody&) = delete;

  /// Bytes in hand that workers have read and not used; with as many no more is taken back.
  static constexpr std::size_t kMaxUnread = limits::kMaxUnread;

  /// Called when a connection that a predecessor passed is in other hands, or closed.
  std::function<void(std::uint64_t passed_id)> on_passed_on;

  /// Called once, with the reason, when connections are passed of which there is no copy although
  /// their worker has asked for a ledger: they end with that worker.
  std::function<void(const std::string& why)> on_unkept;
  /// No copy can be kept of a connection. Only the first reason is told.
  void tell_unkept(const std::string& why);

  /// Called when there is no room, to let go what need not be in hand any more.
  std::function<void()> on_no_room;

  /// Each worker needs descriptors of its own, which connections don't get.
  void set_workers(std::size_t count);
  /// Descriptors in hand.
  std::size_t descriptors() const { return descriptors_; }
  /// How many there can be. Asks for the limit in force, which others can change at any time.
  std::size_t capacity() const;
  /// How many of these are never those of copies that are kept.
  std::size_t capacity_in_hand() const;
  /// Whether there is room for one more message: for its descriptors, and for the bytes that come
  /// with its connections.
  bool has_room() const;
  /// Whether the copy of one more connection may be kept while a worker serves it. Room is left for
  /// those that are in hand for a moment.
  bool may_keep();
  void keep() { ++kept_; }
  void let_go();
  /// Copies that are kept.
  std::size_t kept() const { return kept_; }
  /// Waits until a descriptor was released and there is room, or for 100 ms: room can also come
  /// from elsewhere. Those that wait are woken one at a time, in their order.
  Task<void> wait();

 private:
  void release(std::size_t descriptors, std::size_t unread, std::uint64_t passed_id);

  Reactor& reactor_;
  std::size_t reserved_ = 0;
  std::size_t descriptors_ = 0;
  std::size_t kept_ = 0;
  std::size_t surely_ = 0;  ///< as many copies may be kept without asking for the limit again
  std::size_t unread_ = 0;
  bool unkept_told_ = false;
  std::deque<Event*> waiting_;
};

}  // namespace handoff
