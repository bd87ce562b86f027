// SPDX-License-Identifier: MIT
#include "methods/stderr_lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "os/utf8.hpp"

namespace handoff {

void StderrLines::add(std::string_view bytes) {
  if (!say_) { return; }
  for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    append(bytes.substr(0, end));
    finish();
    bytes.remove_prefix(end + 1);
  }
  append(bytes);
}

/// One byte more than is said tells whether a character would be cut in two.
void StderrLines::append(std::string_view bytes) {
  const std::size_t room = kLongest + 1 - line_.size();
  line_.append(bytes.substr(0, room));
  left_out_ += bytes.size() - std::min(room, bytes.size());
}

void StderrLines::finish() {
  std::string line = std::exchange(line_, {});
  std::size_t left_out = std::exchange(left_out_, 0);
  if (left_out == 0 && line.ends_with('\r')) { line.pop_back(); }
  if (line.empty()) { return; }
  const std::size_t size = utf8_start(line, kLongest).size();
  left_out += line.size() - size;
  if (left_out == 0) { return say_(line); }
  line.resize(size);
  say_(fmt::format("{}... ({} bytes more)", line, left_out));
}

}  // namespace handoff
