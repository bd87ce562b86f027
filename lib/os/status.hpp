// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

namespace handoff {

/// The outcome of an attempt that may fail in the normal course of things: success, or one line
/// that tells a person why it has failed. No text stands for success, and no text becomes a Status
/// by itself; the compiler warns a caller that ignores the outcome. A system call that fails
/// unexpectedly throws SystemError instead.
class [[nodiscard]] Status {
 public:
  static Status ok() { return {}; }
  /// Makes a failure; `why` is not empty. Its line breaks and other control characters become
  /// escape sequences (see printable()), so that a reason that a peer has written is one line too.
  static Status failure(const std::string& why);

  bool is_ok() const { return !why_; }
  /// Returns the reason; call it only for a failure.
  const std::string& why() const;

  bool operator==(const Status&) const = default;
  explicit operator bool() const = delete;

 private:
  Status() = default;

  std::optional<std::string> why_;
};

}  // namespace handoff
