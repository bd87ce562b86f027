// SPDX-License-Identifier: MIT
#include "wire/envelope.hpp"

#include <cstring>
#include <string>

namespace handoff {
namespace {

/// Whether it is `name`, when it is as long.
template <std::size_t size>
bool is_name(std::string_view text, const char (&name)[size]) {
  return std::memcmp(text.data(), name, size - 1) == 0;
}

/// kNames for any other.
Name name_of(std::string_view text) {
  switch (text.size()) {
    case 2: return is_name(text, "in") ? kIn : is_name(text, "id") ? kId : kNames;
    case 3: return is_name(text, "out") ? kOut : kNames;
    case 5: return is_name(text, "error") ? kError : kNames;
    case 6:
      if (is_name(text, "params")) return kParams;
      return is_name(text, "result") ? kResult : is_name(text, "method") ? kMethod : kNames;
    case 7: return is_name(text, "jsonrpc") ? kJsonRpc : kNames;
    default: return kNames;
  }
}

}  // namespace

JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope) {
  envelope.is_object = true;
  std::string copy;
  return reader.read_object(depth, [&](std::string_view quoted) -> std::string_view& {
    return envelope.add(name_of(reader.unescape(quoted, copy)));
  });
}

}  // namespace handoff
