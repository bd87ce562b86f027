// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace handoff {

/// A system call that failed unexpectedly: what was attempted, on what, and errno. `what()` is a
/// sentence: "cannot listen on 127.0.0.1:80: Permission denied".
class SystemError : public std::exception {
 public:
  /// `error_number` is an errno value. Pass `errno` itself only if the other arguments exist
  /// already, because making them may change it. `attempt` is a verb phrase that follows "cannot"
  /// and precedes the object if there is one: "listen on", "read", "create a socket".
  SystemError(int error_number, std::string_view attempt, std::string_view object = {});

  /// Makes an error from a whole sentence: "cannot listen on ./s: the file ./s.new is in the way
  /// (remove it if nothing needs it)". It has no attempt and no object.
  static SystemError sentence(int error_number, std::string text);

  int error_number() const { return error_number_; }
  const std::string& attempt() const { return attempt_; }
  const std::string& object() const { return object_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  SystemError() = default;

  int error_number_ = 0;
  std::string attempt_;
  std::string object_;
  std::string text_;
};

/// No server answers at an address: a connect failed for a reason that lies with the peer or the
/// network (refused, no such file, unreachable, name not known).
class Unreachable : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// A program that this process depends on cannot be run, or has ended.
class ChildFailed : public std::runtime_error {
 public:
  /// `code` is the exit status of the program; see ExitStatus.
  ChildFailed(const std::string& text, int code) : runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

/// A deadline has passed.
class TimedOut : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// A text from a person (an option, an address, a duration) cannot be understood.
class InvalidArgument : public std::runtime_error {
  using runtime_error::runtime_error;
};

/// Calls `call` until it does not fail with EINTR, and returns its result. Only this function
/// repeats system calls.
template <typename Call>
auto retry(Call call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) { return result; }
  }
}

/// Returns whether a system call is not available at all, so that a fall-back is needed: the kernel
/// lacks it (ENOSYS), or a seccomp profile refuses it (EPERM, which older containers give for each
/// call that they do not know).
inline bool is_refused(int error_number) {
  return error_number == ENOSYS || error_number == EPERM;
}

/// Returns the text of an errno value, as strerror(3) does, in any thread.
std::string error_text(int error_number);

}  // namespace handoff
