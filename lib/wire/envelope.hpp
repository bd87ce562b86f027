// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "wire/json_reader.hpp"

namespace handoff {

/// The fields of a message: their JSON texts, and which came once or more often. The texts point
/// into the message.
struct Envelope {
  /// The names in requests and replies of both dialects; `other` stands for any other name.
  enum Field : std::size_t { in, params, id, out, result, json_rpc, method, error, other };

  bool is_object = false;  ///< The message is an object; else no field is there.
  unsigned seen = 0;
  unsigned repeated = 0;
  std::array<std::string_view, other + 1> json;  ///< of those seen
  std::string unescaped;                         ///< scratch for a name that has escapes

  static constexpr unsigned bit(Field field) { return 1U << field; }
  /// To be used again; the texts need not be touched for that.
  void clear() {
    is_object = false;
    seen = repeated = 0;
  }
  std::string_view operator[](Field field) const {
    return has(field) ? json[field] : std::string_view();
  }
  bool has(Field field) const { return (seen & bit(field)) != 0; }
  template <typename... Fields>
  bool repeats(Fields... fields) const {
    return (repeated & (bit(fields) | ...)) != 0;
  }
  std::string_view& add(Field field) {
    repeated |= seen & bit(field);
    seen |= bit(field);
    return json[field];
  }
};

/// Reads the next value of `reader`, around which stand `depth` arrays and objects, to its end:
/// the fields of an object, which replace those in `envelope`; any other value is only validated.
JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope);

/// Reads `text`, as for JsonReader::open(), from its first byte to its last as a message, if it is
/// an object that PlainJson can read. If not, returns false, and read_envelope() has to judge it.
/// No string in what was read has escapes.
bool read_plain_envelope(std::string_view text, Envelope& envelope);

}  // namespace handoff
