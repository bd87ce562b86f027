// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "wire/json_reader.hpp"

namespace handoff {

/// The fields of requests and replies, of both dialects.
enum Name : std::size_t { kIn, kParams, kId, kOut, kResult, kJsonRpc, kMethod, kError, kNames };

/// The JSON texts of the fields, and which came once or more often.
struct Envelope {
  bool is_object = false;
  unsigned seen = 0;
  unsigned repeated = 0;
  std::array<std::string_view, kNames + 1> json;  ///< of those seen; the last is of other names

  static constexpr unsigned bit(Name name) { return 1U << name; }
  /// To be used again; the texts need not be touched for that.
  void clear() {
    is_object = false;
    seen = repeated = 0;
  }
  std::string_view operator[](Name name) const {
    return has(name) ? json[name] : std::string_view();
  }
  bool has(Name name) const { return (seen & bit(name)) != 0; }
  template <typename... Names>
  bool repeats(Names... names) const {
    return (repeated & (bit(names) | ...)) != 0;
  }
  std::string_view& add(Name name) {
    repeated |= seen & bit(name);
    seen |= bit(name);
    return json[name];
  }
};

/// Reads an object around which stand `depth` arrays and objects, when peek() says that one is
/// next.
JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope);

}  // namespace handoff
