// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "wire/errors.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// What the first bytes of a connection say about its client.
enum class Start : std::uint8_t {
  undecided,  ///< more bytes are needed
  lines,      ///< the first line begins with `{` or `[`
  length,     ///< a length, which may be over the limit; or too few bytes to be answered
  stranger,   ///< no client: a web browser, for example, that a page told to send something
};

/// Whether more bytes can follow those that are there. None do once the client has ended its side,
/// or was waited for long enough.
enum class MoreBytes : std::uint8_t { may_follow, none_follow };

struct JudgedStart {
  Start start;
  std::size_t blanks = 0;  ///< bytes in front that can be dropped: without them the rest is judged
                           ///< in the same way
};

/// Judges the first bytes of a connection, as handoff-wire(7) says. `expected` is the framing that
/// all clients must use, or unknown. When no more bytes follow, the result is never undecided.
/// While it is undecided and the blanks are dropped, at most seven bytes stay. Neither copies nor
/// allocates.
JudgedStart judge_start(std::span<const char> bytes, Framing expected, MoreBytes more);

/// Appends the only answer that a stranger gets: a response of HTTP if its first bytes, after
/// blanks, look like a request of HTTP, and else an error reply on a line. Returns the code of the
/// error reply, or 0.
ErrorCode append_answer_to_stranger(std::string& out, std::span<const char> bytes);

}  // namespace handoff
