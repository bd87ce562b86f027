// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace handoff {

/// Makes lines of the bytes that a process writes to its stderr. It holds no more than the start of
/// one line, whatever the process writes.
class StderrLines {
 public:
  using Say = std::function<void(std::string_view line)>;

  /// The most bytes of a line that are said; the rest is cut off.
  static constexpr std::size_t kLongest = 1000;

  /// `say` is called with each line that is not empty, without its line break. Without `say` the
  /// bytes are dropped.
  explicit StderrLines(Say say) : say_(std::move(say)) {}

  void add(std::string_view bytes);
  /// Says the last line, which has no line break: the process has ended.
  void finish();

 private:
  void append(std::string_view bytes);

  Say say_;
  std::string line_;          ///< the start of the line that is not over
  std::size_t left_out_ = 0;  ///< bytes of it after that
};

}  // namespace handoff
