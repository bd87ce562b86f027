// SPDX-License-Identifier: MIT
#include "wire/frame_writer.hpp"

#include <algorithm>
#include <cstddef>

namespace handoff {

/// A newline of the body would end the line early. JSON allows newlines only between tokens, where
/// they mean nothing, so that they can be removed.
void FrameWriter::finish_line() {
  const std::size_t newline = out_.find('\n', start_);
  if (newline != std::string::npos) {
    const auto first = out_.begin() + static_cast<std::ptrdiff_t>(newline);
    out_.erase(std::remove(first, out_.end(), '\n'), out_.end());
  }
  out_.push_back('\n');
}

void append_frame(std::string& out, std::string_view body) {
  FrameWriter writer(out);
  out.append(body);
  writer.finish();
}

}  // namespace handoff
