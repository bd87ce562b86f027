// SPDX-License-Identifier: MIT
#pragma once

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

namespace handoff {

template <typename T>
class Task;

/// The owner of coroutines that no other coroutine awaits; see Reactor::spawn.
struct RootOwner {
  /// Is told that the coroutine has ended, with the exception that has left it, if any did. The
  /// owner destroys the frame.
  virtual void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) = 0;

 protected:
  ~RootOwner() = default;
};

namespace detail {

/// The promise of a task of any type: what happens when the coroutine ends.
class TaskPromiseBase {
 public:
  /// Says which coroutine awaits the task, and goes on when it has ended.
  void set_continuation(std::coroutine_handle<> awaiting) { continuation_ = awaiting; }
  /// Says that no coroutine awaits the task: it belongs to `owner`, in whose list it has this
  /// index.
  void make_root(RootOwner& owner, std::uint32_t index) {
    owner_ = &owner;
    root_index_ = index;
  }
  std::uint32_t root_index() const { return root_index_; }

  std::suspend_always initial_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  /// Passes control from a coroutine that has ended to the one that awaits it, without growing the
  /// stack (symmetric transfer), or tells the owner of a root.
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
      TaskPromiseBase& promise = frame.promise();
      if (promise.root_index_ != kNoRoot) {
        promise.owner_->root_finished(frame, std::move(promise.error_));
      } else if (promise.continuation_) {
        return promise.continuation_;
      }
      return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }

 protected:
  /// Throws what has left the coroutine, if anything did.
  void rethrow() const {
    if (error_) { std::rethrow_exception(error_); }
  }

 private:
  static constexpr std::uint32_t kNoRoot = ~std::uint32_t{0};

  /// A task has one or the other: root_index_ tells which.
  // The members of an anonymous union are private members of the class around it.
  // NOLINTBEGIN(readability-identifier-naming)
  union {
    std::coroutine_handle<> continuation_ = nullptr;
    RootOwner* owner_;  ///< the owner of a root
  };
  // NOLINTEND(readability-identifier-naming)
  std::uint32_t root_index_ = kNoRoot;
  std::exception_ptr error_;
};

/// The promise of a task that gives a T.
template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;  ///< once the coroutine has returned

  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  /// Returns the value, or throws the exception that has left the coroutine.
  T take() {
    rethrow();
    return std::move(*value);
  }
};

/// The promise of a task that gives nothing.
template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
  void take() const { rethrow(); }
};

}  // namespace detail

/// A coroutine that starts when it is awaited, and gives a T or throws:
///
///     Task<int> twice(Reactor& reactor, int number) {
///       co_await reactor.yield();
///       co_return 2 * number;
///     }
///
/// A task is move-only, and owns the coroutine's frame. Destroying a task that is suspended
/// destroys what it holds: awaiters deregister themselves then, so that a task can be dropped at
/// any await. A task runs on the thread of the reactor that it waits for; Reactor::run() and
/// spawn() start one that no coroutine awaits.
///
/// A parameter that is taken by reference, and what a lambda has captured, must outlive the task;
/// say so where it is declared, or take it by value. A result that is awaited should have a name
/// before a `co_return` uses it: GCC 12 miscompiles some statements that contain both.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  /// No coroutine; not to be awaited.
  Task() = default;
  /// Takes over the frame.
  explicit Task(Handle frame) : frame_(frame) {}
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      destroy();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { destroy(); }

  // A task that was awaited keeps its frame, and a task that was released has none. Either may be
  // destroyed or assigned to.

  /// `co_await std::move(task)` starts the task, and resumes the awaiting coroutine with its
  /// result, or throws its exception there, when it has ended. A task can be awaited once.
  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle frame;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        frame.promise().set_continuation(awaiting);
        return frame;
      }
      T await_resume() const { return frame.promise().take(); }
    };
    assert(frame_);
    return Awaiter{frame_};
  }

  /// Gives the frame to the caller, who destroys it. The task has none any more.
  [[nodiscard]] Handle release() noexcept { return std::exchange(frame_, nullptr); }

 private:
  void destroy() {
    if (frame_) { frame_.destroy(); }
  }

  Handle frame_;  ///< null when the task has none
};

template <typename T>
Task<T> detail::TaskPromise<T>::get_return_object() {
  return Task<T>(Task<T>::Handle::from_promise(*this));
}

inline Task<void> detail::TaskPromise<void>::get_return_object() {
  return Task<void>(Task<void>::Handle::from_promise(*this));
}

}  // namespace handoff
