// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "rpc/session_calls.hpp"
#include "rpc/session_input.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

/// What became of the bytes of a turn.
enum class Taken : std::uint8_t {
  all_frames,   ///< at most the start of one is left
  some_frames,  ///< the turn is over, or the next frame may not be answered yet
  refused       ///< a stranger sent them, or they begin with a frame that is too long
};

/// What becomes of the requests of a turn.
enum class Requests : std::uint8_t {
  are_run,
  are_refused  ///< none is run any more: the server ends
};

/// What is known of a turn before its frames are taken.
struct Turn {
  MoreBytes more;
  Requests requests = Requests::are_run;
};

/// Takes frames out of `bytes`, which input.begin_turn() has given, and answers them: what can be
/// sent at once is appended to `out`, also why the client is refused. Ends the turn of `input`.
Taken answer_frames(SessionInput& input, SessionCalls& calls, ReceiveBuffer& bytes, Turn turn,
                    std::string& out);

/// Finds out the framing of a connection of which it is not known. Nothing of what a stranger has
/// sent is parsed, neither now nor later: the bytes are dropped, and his answer is appended to
/// `out`. Gives `refused` for him, and else `some_frames`.
Taken judge_first_bytes(SessionInput& input, ServerContext& context, ReceiveBuffer& bytes,
                        MoreBytes more, std::string& out);

/// Appends to `out` why a client is refused the rest of whose frame has not arrived in time.
/// Nothing is left in `input`.
void answer_late_frame(SessionInput& input, SessionCalls& calls, std::string& out);

}  // namespace handoff
