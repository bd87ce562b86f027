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
  /// Returns the number, which this object still owns; -1 when it has none.
  int get() const { return number_; }
  /// Gives the number to the caller, who closes it. This object has none any more.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  /// Closes the descriptor now. An error of close(2) is ignored: the descriptor is gone all the
  /// same.
  void reset();

  /// Returns another descriptor of the same open file, close-on-exec. Throws SystemError.
  Fd duplicate() const;

 private:
  int number_ = -1;
};

/// Returns another descriptor of the same open file as `number`, which stays the caller's. The new
/// one is close-on-exec. Throws SystemError.
Fd duplicate(int number);

/// The two ends of a pipe.
struct Pipe {
  Fd read_end;
  Fd write_end;
};
/// Makes a pipe, close-on-exec, both ends blocking. Throws SystemError.
Pipe make_pipe();

/// set_nonblocking() sets O_NONBLOCK on the open file that `number` refers to, and set_blocking()
/// clears it. Use them only on files that no other process shares: the flag belongs to the open
/// file, not to the descriptor. Both throw SystemError.
void set_nonblocking(int number);
void set_blocking(int number);

/// Returns whether `number` is an open descriptor of this process.
bool is_open(int number);

/// Closes every open descriptor from `first` to `last`, both included. Where close_range(2) is
/// refused, as by the seccomp profiles of older containers, it reads /proc/self/fd instead. Neither
/// allocates nor throws, so that a child may call it that shares its parent's memory. Returns
/// false, with errno, when both are refused.
bool close_descriptors(unsigned first, unsigned last);

/// Set and clear close-on-exec, a flag of the descriptor `number`. Both throw SystemError.
void set_close_on_exec(int number);
void clear_close_on_exec(int number);

}  // namespace handoff
