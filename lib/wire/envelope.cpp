// SPDX-License-Identifier: MIT
#include "wire/envelope.hpp"

#include <cstring>

#include "wire/plain_json.hpp"

namespace handoff {
namespace {

/// Returns the field for whose name `is_name(name)` is true.
template <typename IsName>
Envelope::Field field_where(IsName is_name) {
  using enum Envelope::Field;
  if (is_name("in")) { return in; }
  if (is_name("params")) { return params; }
  if (is_name("id")) { return id; }
  if (is_name("jsonrpc")) { return json_rpc; }
  if (is_name("method")) { return method; }
  if (is_name("out")) { return out; }
  if (is_name("result")) { return result; }
  if (is_name("error")) { return error; }
  return is_name("last") ? last : other;
}

Envelope::Field field_of(std::string_view text) {
  return field_where([text](const auto& name) {
    constexpr std::size_t kSize = sizeof name - 1;
    return text.size() == kSize && std::memcmp(text.data(), name, kSize) == 0;
  });
}

/// Returns the field whose name begins with its quote at `at`, and moves `at` past the closing
/// quote; for `other` it leaves `at` where it is.
Envelope::Field take_name(const char*& at) {
  return field_where([&at](const auto& name) {
    constexpr std::size_t kSize = sizeof name - 1;
    if (std::memcmp(at + 1, name, kSize) != 0 || at[kSize + 1] != '"') { return false; }
    at += kSize + 2;
    return true;
  });
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

bool read_plain_envelope(std::string_view text, Envelope& envelope) {
  if (text.size() > PlainJson::kMostBytes) { return false; }
  envelope.clear();
  envelope.is_object = true;
  PlainJson reader(text);
  const auto skip_name = [&](const char*& at) -> std::string_view* {
    const Envelope::Field field = *at == '"' ? take_name(at) : Envelope::other;
    if (field == Envelope::other) { at = reader.end_of_string(at); }
    return at != nullptr ? &envelope.add(field) : nullptr;
  };
  return reader.read_object(0, skip_name) && reader.read_end();
}

}  // namespace handoff
