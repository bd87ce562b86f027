// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "wire/json_reader.hpp"

namespace handoff {

/// The top-level fields of one message: the JSON text of each field that the message has, and which
/// fields it repeats. The texts point into the message, which must stay unchanged while they are
/// used.
struct Envelope {
  /// The field names of requests and replies in both dialects; `other` stands for any other name.
  enum Field : std::size_t { in, params, id, out, result, json_rpc, method, error, last, other };

  bool is_object = false;  ///< false: the message is another value, and no field is set
  /// The fields that the message has, and those that it has more than once, as bits; see bit().
  unsigned seen = 0;
  unsigned repeated = 0;
  std::array<std::string_view, other + 1> json;  ///< only meaningful for the fields in `seen`
  std::string unescaped;                         ///< scratch for a name that has escapes

  static constexpr unsigned bit(Field field) { return 1U << field; }
  /// Forgets all fields. The texts in `json` stay, because nothing reads them unless `seen` says
  /// so.
  void clear() {
    is_object = false;
    seen = repeated = 0;
  }
  /// Returns the JSON text of `field`, or an empty view if the message does not have it.
  std::string_view operator[](Field field) const {
    return has(field) ? json[field] : std::string_view();
  }
  bool has(Field field) const { return (seen & bit(field)) != 0; }
  /// Returns whether the message has any of these fields more than once.
  template <typename... Fields>
  bool repeats(Fields... fields) const {
    return (repeated & (bit(fields) | ...)) != 0;
  }
  /// Records that the message has `field`, and returns where the caller stores its text. The text
  /// of a repeated field replaces the one before.
  std::string_view& add(Field field) {
    repeated |= seen & bit(field);
    seen |= bit(field);
    return json[field];
  }
};

/// Reads the next value of `reader` to its end and replaces the fields in `envelope` by those of
/// the value. `depth` is the number of arrays and objects around the value. A value that is no
/// object is validated only. Returns JsonProblem::none, or what is wrong with the text; the fields
/// are then incomplete.
JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope);

/// Reads `text` as one message, from its first byte to its last, if it is an object that PlainJson
/// can read; the text must be padded as for JsonReader::open(). Returns false if it is not, even if
/// it is valid JSON: then read_envelope() has to judge it. No string of a message read here has
/// escapes.
bool read_plain_envelope(std::string_view text, Envelope& envelope);

}  // namespace handoff
