// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

namespace handoff {

/// The only owner of a descriptor: closes it when destroyed. Move-only. There is no
/// conversion to `int` or `bool`: descriptor 0 is a valid one and no `false`.
class Fd {
 public:
  Fd() = default;
  /// Takes ownership of `number`; -1 is "none".
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  explicit operator bool() const = delete;

  bool valid() const { return number_ >= 0; }
  /// The number, still owned by this object.
  int get() const { return number_; }
  /// The number, now owned by the caller.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  /// Closes now.
  void reset();

  /// Another descriptor of the same open file, close-on-exec.
  Fd duplicate() const;

 private:
  int number_ = -1;
};

/// The same of a descriptor that is not owned here.
Fd duplicate(int number);

/// A new pipe, close-on-exec, both ends blocking.
struct Pipe {
  Fd read_end;
  Fd write_end;
};
Pipe make_pipe();

/// set_nonblocking() sets O_NONBLOCK on the open file that `number` refers to, and set_blocking()
/// clears it. Use them only on files that no other process shares: the flag belongs to the open
/// file, not to the descriptor. Both throw SystemError.
void set_nonblocking(int number);
void set_blocking(int number);

/// Whether `number` is an open descriptor.
bool is_open(int number);

/// Closes every open descriptor from `first` to `last`, both included. Where close_range(2) is
/// refused, as by the seccomp profiles of older containers, it reads /proc/self/fd instead. Neither
/// allocates nor throws, so that a child may call it that shares its parent's memory. False, with
/// errno, when both are refused.
bool close_descriptors(unsigned first, unsigned last);

/// Set and clear close-on-exec. Both throw SystemError.
void set_close_on_exec(int number);
void clear_close_on_exec(int number);

}  // namespace handoff
