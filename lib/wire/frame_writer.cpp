// SPDX-License-Identifier: MIT
#include "wire/frame_writer.hpp"

#include <algorithm>
#include <cstddef>

namespace handoff {

/// JSON has newlines only between its tokens, where they can go.
void FrameWriter::finish_line() {
  const auto start = out_.begin() + static_cast<std::ptrdiff_t>(start_);
  out_.erase(std::remove(start, out_.end(), '\n'), out_.end());
  out_.push_back('\n');
}

void append_frame(std::string& out, std::string_view body) {
  FrameWriter writer(out);
  out.append(body);
  writer.finish();
}

}  // namespace handoff
