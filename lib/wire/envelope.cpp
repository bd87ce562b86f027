// SPDX-License-Identifier: MIT
#include "wire/envelope.hpp"

#include <cstring>

namespace handoff {
namespace {

/// Whether `text`, which is as long, is `name`.
template <std::size_t size>
bool is_name(std::string_view text, const char (&name)[size]) {
  return std::memcmp(text.data(), name, size - 1) == 0;
}

Envelope::Field field_of(std::string_view text) {
  using enum Envelope::Field;
  switch (text.size()) {
    case 2: return is_name(text, "in") ? in : is_name(text, "id") ? id : other;
    case 3: return is_name(text, "out") ? out : other;
    case 5: return is_name(text, "error") ? error : other;
    case 6:
      if (is_name(text, "params")) return params;
      return is_name(text, "result") ? result : is_name(text, "method") ? method : other;
    case 7: return is_name(text, "jsonrpc") ? json_rpc : other;
    default: return other;
  }
}

}  // namespace

JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope) {
  envelope.clear();
  if (reader.peek() != '{') {
    std::string_view json;
    return reader.read_value(depth, json);
  }
  envelope.is_object = true;
  return reader.read_object(depth, [&](std::string_view quoted) -> std::string_view& {
    return envelope.add(field_of(reader.unescape(quoted, envelope.unescaped)));
  });
}

}  // namespace handoff
