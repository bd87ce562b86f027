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

/// Who owns a coroutine that nobody awaits; see Reactor::spawn. It is told when the coroutine has
/// ended, and destroys the frame then.
struct RootOwner {
  virtual void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) = 0;

 protected:
  ~RootOwner() = default;
};

namespace detail {

class TaskPromiseBase {
 public:
  /// The coroutine that awaits the task.
  void set_continuation(std::coroutine_handle<> awaiting) { continuation_ = awaiting; }
  /// No coroutine awaits the task: it belongs to `owner`, in whose list it has this index.
  void make_root(RootOwner& owner, std::uint32_t index) {
    owner_ = &owner;
    root_index_ = index;
  }
  std::uint32_t root_index() const { return root_index_; }

  std::suspend_always initial_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

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
  void rethrow() const {
    if (error_) { std::rethrow_exception(error_); }
  }

 private:
  static constexpr std::uint32_t kNoRoot = ~std::uint32_t{0};

  // The members of an anonymous union are private members of the class around it.
  // NOLINTBEGIN(readability-identifier-naming)
  union {
    std::coroutine_handle<> continuation_ = nullptr;
    RootOwner* owner_;  ///< of a root
  };
  // NOLINTEND(readability-identifier-naming)
  std::uint32_t root_index_ = kNoRoot;
  std::exception_ptr error_;
};

template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    rethrow();
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
  void take() const { rethrow(); }
};

}  // namespace detail

/// A coroutine that starts when it is awaited, and gives a T or throws. Move-only; owns the
/// coroutine's frame. Destroying a task that is suspended destroys what it holds: awaiters
/// deregister themselves then, so that a task can be dropped at any await.
///
/// A parameter taken by reference must outlive the task; say so where it is declared.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
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

  /// Starts the task; resumes the awaiting coroutine with its result when it has ended. Once.
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

  /// The frame, now owned by the caller.
  [[nodiscard]] Handle release() noexcept { return std::exchange(frame_, nullptr); }

 private:
  void destroy() {
    if (frame_) { frame_.destroy(); }
  }

  Handle frame_;
};

template <typename T>
Task<T> detail::TaskPromise<T>::get_return_object() {
  return Task<T>(Task<T>::Handle::from_promise(*this));
}

inline Task<void> detail::TaskPromise<void>::get_return_object() {
  return Task<void>(Task<void>::Handle::from_promise(*this));
}

}  // namespace handoff
