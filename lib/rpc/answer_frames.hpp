// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "rpc/session_calls.hpp"
#include "rpc/session_input.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

/// What has become of the bytes of a turn.
enum class Taken : std::uint8_t {
  all_frames,   ///< every complete frame was answered; at most the start of one is left
  some_frames,  ///< complete frames may be left: the turn is over, or the next frame may not be
                ///< answered yet
  refused       ///< the bytes come from a stranger, or begin with a frame that is too long
};

/// What becomes of the requests of a turn.
enum class Requests : std::uint8_t {
  are_run,
  are_refused  ///< none is run any more, because the server ends
};

/// What is known of a turn before its frames are taken.
struct Turn {
  MoreBytes more;
  Requests requests = Requests::are_run;
};

/// Takes frames out of `bytes`, the buffer that input.begin_turn() has returned, and answers them.
/// Appends to `out` what can be sent now: replies, and, if the client is refused, the reason. Ends
/// the turn of `input`.
Taken answer_frames(SessionInput& input, SessionCalls& calls, ReceiveBuffer& bytes, Turn turn,
                    std::string& out);

/// Finds out the framing of a connection from its first bytes. A stranger is a client whose first
/// bytes begin neither framing, for example a browser; nothing that it sends is ever parsed: its
/// bytes are dropped, and an answer that says why is appended to `out`. Returns `refused` for a
/// stranger, and `some_frames` otherwise, even if there are too few bytes to decide.
Taken judge_first_bytes(SessionInput& input, ServerContext& context, ReceiveBuffer& bytes,
                        MoreBytes more, std::string& out);

/// Refuses a client whose frame has not arrived completely in time: appends the reason to `out`,
/// and drops the bytes that `input` holds.
void answer_late_frame(SessionInput& input, SessionCalls& calls, std::string& out);

}  // namespace handoff
