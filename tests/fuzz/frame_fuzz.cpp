// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

#include "fuzz/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/framing.hpp"

/// A stream of frames means the same however it arrives, and is written as it was read.
namespace handoff::fuzz {
namespace {

using Outcome = DecodedFrame::Outcome;

struct Stream {
  std::vector<std::string> bodies;
  std::string rest;  ///< what is no whole frame
  bool oversized = false;

  bool operator==(const Stream&) const = default;
};

/// Takes the whole frames off the front of `buffer`.
void take_frames(WatchedBuffer& buffer, std::uint32_t limit, Stream& stream) {
  for (;;) {
    const std::string_view text = buffer.text();
    const DecodedFrame frame = decode_frame(buffer.get().bytes(), limit);
    if (frame.outcome == Outcome::oversized) {
      check(frame.body_size > limit, "an oversized frame exceeds the limit");
      check(frame.size == frame::kHeaderSize + frame.body_size, "its size includes the header");
      stream.oversized = true;
      return;
    }
    if (frame.outcome == Outcome::partial) {
      check(text.size() < frame::kHeaderSize ? frame.size == 0 : frame.size > text.size(),
            "a partial frame tells its size once its header is there");
      return;
    }
    check(lies_within(frame.body, text), "a body lies in the bytes");
    check(frame.size == frame::kHeaderSize + frame.body.size(), "a frame is header and body");
    stream.bodies.emplace_back(frame.body);
    buffer.get().consume(frame.size);
  }
}

Stream read_whole(std::string_view input, std::uint32_t limit) {
  Stream stream;
  WatchedBuffer buffer(input.size());
  buffer.append(input);
  take_frames(buffer, limit, stream);
  stream.rest = buffer.text();
  return stream;
}

Stream read_pieces(std::string_view input, std::uint32_t limit) {
  Stream stream;
  Pieces pieces(input);
  WatchedBuffer buffer(1 + pieces.below(64));
  while (!pieces.done()) {
    if (pieces.below(2) == 0) {
      buffer.append(pieces.next());
    } else {
      buffer.receive(pieces.next());
    }
    if (!stream.oversized) { take_frames(buffer, limit, stream); }
  }
  stream.rest = buffer.text();
  return stream;
}

std::string write(const Stream& stream) {
  std::string out = "before";
  for (const std::string& body : stream.bodies) {
    FrameWriter discarded(out);
    out.append(body);
    discarded.discard();
    FrameWriter kept(out);
    out.append("lost").append(body);
    kept.restart();
    out.append(body);
    check(kept.body_size() == body.size(), "a writer knows the size of its body");
    kept.finish();
  }
  return out.substr(6) + stream.rest;
}

void run(std::string_view input) {
  for (const std::uint32_t limit : {16U, limits::kMaxFrame, limits::kHighestMaxFrame}) {
    const Stream whole = read_whole(input, limit);
    check(whole == read_pieces(input, limit), "pieces decode as the whole does");
    check(write(whole) == input, "frames are written as they were read");
  }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
