// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

namespace handoff {

/// The only owner of a descriptor, which it closes when it is destroyed. Move-only. There is no
/// conversion to `int` or `bool`, because descriptor 0 is valid and not `false`.
class Fd {
 public:
  Fd() = default;
  /// Takes ownership of `number`; -1 means none.
  explicit Fd(int number) : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  explicit operator bool() const = delete;

  bool valid() const { return number_ >= 0; }
  /// Returns the number, which this object still owns.
  int get() const { return number_; }
  /// Returns the number, which the caller then owns.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  /// Closes the descriptor now. Does nothing if there is none.
  void reset();

  /// Returns another descriptor of the same open file, close-on-exec. Throws SystemError.
  Fd duplicate() const;

 private:
  int number_ = -1;
};

/// Returns another descriptor of the open file of `number`, close-on-exec. The caller keeps
/// `number`. Throws SystemError.
Fd duplicate(int number);

/// A pipe. make_pipe() makes a new one, close-on-exec, with both ends blocking. It throws
/// SystemError.
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

/// Returns whether `number` is an open descriptor.
bool is_open(int number);

/// Closes every open descriptor from `first` to `last`, both included. Where close_range(2) is
/// refused, as by the seccomp profiles of older containers, it reads /proc/self/fd instead. Neither
/// allocates nor throws, so that a child that shares its parent's memory may call it. Returns
/// false, with errno, if both are refused.
bool close_descriptors(unsigned first, unsigned last);

/// These set and clear close-on-exec. Both throw SystemError.
void set_close_on_exec(int number);
void clear_close_on_exec(int number);

}  // namespace handoff
