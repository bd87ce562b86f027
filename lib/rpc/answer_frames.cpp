// SPDX-License-Identifier: MIT
#include "rpc/answer_frames.hpp"

#include <fmt/format.h>

#include "wire/start.hpp"

namespace handoff {
namespace {

/// The most frames of one connection that are answered before the other connections get a turn.
constexpr int kFramesPerTurn = 64;

void answer_frame(const DecodedFrame& frame, SessionCalls::Room room, Requests requests,
                  Framing framing, SessionCalls& calls, std::string& out) {
  if (framing == Framing::lines && frame.body.empty()) {
    return;  // a blank line
  }
  if (requests == Requests::are_refused) {
    calls.answer_not_run(frame.body, framing, SessionCalls::NotRun::shutting_down, out);
  } else if (room == SessionCalls::Room::enough) {
    calls.answer(frame.body, framing, out);
  } else {
    calls.answer_not_run(frame.body, framing, SessionCalls::NotRun::busy, out);
  }
}

}  // namespace

Taken judge_first_bytes(SessionInput& input, ServerContext& context, ReceiveBuffer& bytes,
                        MoreBytes more, std::string& out) {
  if (input.judge(bytes, context.limits().framing, more) != Start::stranger) {
    return Taken::some_frames;
  }
  context.count_error(append_answer_to_stranger(out, bytes.bytes()));
  bytes.clear();
  return Taken::refused;
}

Taken answer_frames(SessionInput& input, SessionCalls& calls, ReceiveBuffer& bytes, Turn turn,
                    std::string& out) {
  const SessionLimits& limits = calls.context().limits();
  auto taken = Taken::some_frames;
  if (input.framing() == Framing::unknown) {
    taken = judge_first_bytes(input, calls.context(), bytes, turn.more, out);
    const bool is_undecided = input.framing() == Framing::unknown;
    if (taken == Taken::some_frames && is_undecided) { taken = Taken::all_frames; }
  }
  if (turn.more == MoreBytes::none_follow) { input.end_last_line(bytes); }
  const bool takes_turns = calls.takes_turns();
  int frames = 0;
  while (taken == Taken::some_frames && frames < kFramesPerTurn && out.size() < limits.max_unsent) {
    // room() also asks whether it is the turn of this connection.
    const SessionCalls::Room room = takes_turns ? calls.room() : calls.room_for_call();
    if (room != SessionCalls::Room::enough && room != SessionCalls::Room::none) { break; }
    const DecodedFrame frame = input.next_frame(bytes, limits.max_frame);
    if (frame.outcome == DecodedFrame::Outcome::complete) {
      if (takes_turns) { calls.end_turn(); }
      answer_frame(frame, room, turn.requests, input.framing(), calls, out);
      bytes.consume(frame.size);
      ++frames;
    } else if (frame.outcome == DecodedFrame::Outcome::partial) {
      taken = Taken::all_frames;
    } else {
      taken = Taken::refused;
      const std::string problem = fmt::format("a frame of {} bytes exceeds the limit of {}",
                                              frame.body_size, limits.max_frame);
      calls.refuse({ErrorCode::invalid_request, problem, {}, calls.dialect()}, input.framing(),
                   out);
      bytes.clear();
    }
  }
  const bool may_be_more = taken == Taken::some_frames;
  input.end_turn(
      bytes, may_be_more ? SessionInput::Left::frames : SessionInput::Left::start_of_frame, frames);
  return taken;
}

void answer_late_frame(SessionInput& input, SessionCalls& calls, std::string& out) {
  ServerContext& context = calls.context();
  auto taken = Taken::some_frames;
  if (input.framing() == Framing::unknown) {
    taken = judge_first_bytes(input, context, input.begin_turn(context.input()),
                              MoreBytes::none_follow, out);
  }
  if (taken != Taken::refused) {
    calls.refuse(
        {ErrorCode::timed_out, "the rest of the frame did not arrive in time", {}, calls.dialect()},
        input.framing(), out);
  }
  input.drop();
}

}  // namespace handoff
