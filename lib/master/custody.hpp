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
/// worker, and those on their way to one. There can be fewer descriptors than connections, so a
/// master takes back only as many as it has room for; the others wait in the channels of the
/// workers.
///
/// Only one thread may use it. It must outlive its holds.
class Custody {
 public:
  /// Counts one connection in the master's hands, until it is destroyed. Move-only.
  class Hold {
   public:
    Hold() = default;
    /// `unread` is the number of bytes that a worker has read from it and not used. `passed_id` is
    /// the number that a predecessor gave the connection; 0 if it came from elsewhere. See
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

  /// `workers` is as for set_workers(). The reactor must outlive this object.
  Custody(Reactor& reactor, std::size_t workers) : reactor_(reactor) { set_workers(workers); }
  Custody(const Custody&) = delete;
  Custody& operator=(const Custody&) = delete;

  /// The bytes in hand that workers have read and not used; with this many the master takes nothing
  /// more back.
  static constexpr std::size_t kMaxUnread = limits::kMaxUnread;

  /// Called when a connection that a predecessor has passed is in other hands, or closed.
  std::function<void(std::uint64_t passed_id)> on_passed_on;

  /// Called once, with the reason, when connections are passed without a copy although their worker
  /// has asked for a ledger: they end with that worker.
  std::function<void(const std::string& why)> on_unkept;
  /// Reports that no copy of a connection can be kept. Only the first reason is reported.
  void tell_unkept(const std::string& why);

  /// Called when there is no room, so that descriptors that are not needed are released.
  std::function<void()> on_no_room;

  /// Sets the number of workers, each of which needs descriptors that connections cannot have.
  void set_workers(std::size_t count);
  /// Returns the number of descriptors in hand.
  std::size_t descriptors() const { return descriptors_; }
  /// Returns how many descriptors connections may have. Reads the limit in force, which other
  /// processes can change.
  std::size_t capacity() const;
  /// Returns how many of these are never used for copies that are kept.
  std::size_t capacity_in_hand() const;
  /// Returns whether there is room for one more message: for its descriptors, and for the unread
  /// bytes of its connections.
  bool has_room() const;
  /// Returns whether the copy of one more connection may be kept while a worker serves it. Room is
  /// left for those that are in hand for a moment.
  bool may_keep();
  /// These count a copy that is kept, and one that is not kept any more.
  void keep() { ++kept_; }
  void let_go();
  /// Returns the number of copies that are kept.
  std::size_t kept() const { return kept_; }
  /// Waits until a descriptor was released and there is room, or for 100 ms, because room can also
  /// come from elsewhere. Of the waiting coroutines one at a time wakes, in their order. This
  /// object must outlive the task.
  Task<void> wait();

 private:
  void release(std::size_t descriptors, std::size_t unread, std::uint64_t passed_id);

  Reactor& reactor_;
  std::size_t reserved_ = 0;
  std::size_t descriptors_ = 0;
  std::size_t kept_ = 0;
  std::size_t surely_ =
      0;  ///< the number of copies that may be kept before the limit is read again
  std::size_t unread_ = 0;
  bool unkept_told_ = false;
  std::deque<Event*> waiting_;
};

}  // namespace handoff
