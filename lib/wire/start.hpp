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
  length,     ///< a length, which may be over the limit, or too few bytes for any answer
  stranger,   ///< not a client of ours: for example, a web browser that a page told to send
              ///< something
};

/// Says whether more bytes can follow the given ones. None can once the client has ended its side
/// of the connection, or has been waited for long enough.
enum class MoreBytes : std::uint8_t { may_follow, none_follow };

/// What judge_start() returns.
struct JudgedStart {
  Start start;
  std::size_t blanks = 0;  ///< the bytes at the start that the caller can drop; the rest is judged
                           ///< in the same way without them
};

/// Judges the first bytes of a connection by the rules of handoff-wire(7), THE FRAME. `expected` is
/// the framing that all clients must use, or `unknown` if each may choose. The result is
/// `undecided` only while more bytes may follow; if the caller drops the blanks then, at most seven
/// bytes are kept. Neither copies nor allocates.
JudgedStart judge_start(std::span<const char> bytes, Framing expected, MoreBytes more);

/// Appends the only answer that a stranger gets, after which the connection is closed: an HTTP
/// response if its first bytes, after blanks, look like an HTTP request, and else an error reply on
/// a line. Returns the code of the error reply, or 0 for the HTTP response.
ErrorCode append_answer_to_stranger(std::string& out, std::span<const char> bytes);

}  // namespace handoff
