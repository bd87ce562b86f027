// SPDX-License-Identifier: MIT
#include "rpc/batch_replies.hpp"

#include "rpc/dispatch.hpp"
#include "wire/frame_writer.hpp"

namespace handoff {

void BatchReplies::add(std::string_view body) {
  if (is_too_long_) { return; }
  bodies_.append(body).push_back(',');
  is_too_long_ = bodies_.size() + 1 > limit_;
  if (is_too_long_) { std::string().swap(bodies_); }
}

ErrorCode BatchReplies::finish(std::string& out, Framing framing) {
  if (bodies_.empty() && !is_too_long_) { return ErrorCode(); }
  ErrorCode code{};
  FrameWriter writer(out, framing);
  if (is_too_long_) {
    code = append_result(out, {.dialect = Dialect::json_rpc}, reply_too_long(limit_), limit_);
  } else {
    bodies_.back() = ']';
    out.append("[").append(bodies_);
  }
  writer.finish();
  return code;
}

}  // namespace handoff
