// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace handoff {

/// What a tool says to its user: lines on stderr, "tool: text".
class Log {
 public:
  /// How much is said: -q, neither, -v.
  enum class Level { quiet, normal, verbose };

  explicit Log(std::string tool) : tool_(std::move(tool)) {}

  void set_level(Level level) { level_ = level; }
  Level level() const { return level_; }

  void error(std::string_view text) const { write(text); }
  void info(std::string_view text) const {
    if (level_ >= Level::normal) write(text);
  }
  void detail(std::string_view text) const {
    if (level_ >= Level::verbose) write(text);
  }

 private:
  /// One write(2) a line, so that lines of several processes do not mix.
  void write(std::string_view text) const;

  std::string tool_;
  Level level_ = Level::normal;
};

}  // namespace handoff
