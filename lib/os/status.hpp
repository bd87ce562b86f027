// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

namespace handoff {

/// The outcome of an attempt that is expected to fail at times: it has succeeded, or there is one
/// line that tells a person why it has not. No text stands for success, and none becomes a Status
/// by itself; a caller that ignores the outcome is warned by the compiler. A system call that fails
/// unexpectedly throws SystemError instead.
class [[nodiscard]] Status {
 public:
  static Status ok() { return {}; }
  /// `why` is not empty. Its line breaks and other control characters become escape sequences (see
  /// printable()), so that a reason which a peer has written is one line too.
  static Status failure(const std::string& why);

  bool is_ok() const { return !why_; }
  /// The reason; only of a failure.
  const std::string& why() const;

  bool operator==(const Status&) const = default;
  explicit operator bool() const = delete;

 private:
  Status() = default;

  std::optional<std::string> why_;
};

}  // namespace handoff
