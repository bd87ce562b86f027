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
  /// Called when a coroutine has ended; `error` is the exception that left it, or null. The owner
  /// destroys the frame.
  virtual void root_finished(std::coroutine_handle<> frame, std::exception_ptr error) = 0;

 protected:
  ~RootOwner() = default;
};

namespace detail {

/// The part of a task's promise that does not depend on the type of its value. A coroutine that
/// awaits the task and an owner of a root exclude each other, so they share their memory.
class TaskPromiseBase {
 public:
  /// Sets the coroutine that awaits the task, and is resumed when it ends.
  void set_continuation(std::coroutine_handle<> awaiting) { continuation_ = awaiting; }
  /// Makes this a root, which no coroutine awaits. It belongs to `owner`, in whose list it has this
  /// index.
  void make_root(RootOwner& owner, std::uint32_t index) {
    owner_ = &owner;
    root_index_ = index;
  }
  std::uint32_t root_index() const { return root_index_; }

  std::suspend_always initial_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  /// Ends the coroutine: tells the owner of a root, or transfers control to the awaiting coroutine
  /// without growing the stack (symmetric transfer).
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
  /// Throws the exception that has left the coroutine, if there is one.
  void rethrow() const {
    if (error_) { std::rethrow_exception(error_); }
  }

 private:
  static constexpr std::uint32_t kNoRoot = ~std::uint32_t{0};

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

/// The promise of a Task<T>; it keeps the value until the awaiting coroutine takes it.
template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;

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

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
  void take() const { rethrow(); }
};

}  // namespace detail

/// A coroutine that starts when it is awaited, and returns a T or throws. It is move-only and owns
/// the coroutine's frame. Destroying a suspended task destroys its locals, and with them the
/// awaiters, which deregister themselves: so a task can be dropped at any await.
///
/// What a parameter refers to must outlive the task; each function says so where it is declared.
///
///     Task<std::string> read_line(Stream& stream);  // The stream must outlive the task.
///
///     Task<void> copy_line(Stream& from, Stream& to) {
///       const std::string line = co_await read_line(from);
///       co_await to.write_all(line);
///     }
///
/// A caller that is no coroutine, such as `main`, gives its task to Reactor::run() or
/// Reactor::spawn(). A result that is awaited should have a name before a `co_return` uses it: GCC
/// 12 miscompiles some statements that contain both.
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

  /// Starts the task, and resumes the awaiting coroutine with its result when it has ended. A task
  /// can be awaited once.
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

  /// Returns the frame, which the caller then owns.
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
