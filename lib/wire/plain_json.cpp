// SPDX-License-Identifier: MIT
#include "wire/plain_json.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

#include "wire/json_scalar.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// So many bytes at once: a vector register of every machine.
constexpr std::size_t kWide = 16;
using Bytes [[gnu::vector_size(kWide)]] = signed char;
using Halves [[gnu::vector_size(kWide)]] = std::uint64_t;

/// A string may seem to end so far after the text, and the name of a field may be looked for there.
static_assert(2 * kWide <= ReceiveBuffer::kPadding);
static_assert(std::endian::native == std::endian::little);
/// A natural number that is so short fits into a double.
static_assert(PlainJson::kMostBytes <= 300);

/// How many of the next 16 bytes simply stand in a plain string, up to the first that does not: a
/// quote, a backslash, a control character, or what is beyond ASCII, which is negative here.
std::size_t count_plain(const char* text) {
  Bytes bytes;
  std::memcpy(&bytes, text, sizeof bytes);
  // What is true is -1: so a plain byte has all bits set, and no other has its lowest one.
  const auto is_plain = (bytes >= ' ') + (bytes == '"') + (bytes == '\\');
  const auto halves = reinterpret_cast<Halves>(is_plain);
  const int low = std::countr_one(halves[0]) / 8;
  return static_cast<std::size_t>(low < 8 ? low : 8 + std::countr_one(halves[1]) / 8);
}

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

bool is_in_number(char byte) {
  return is_digit(byte) || byte == '.' || byte == 'e' || byte == 'E' || byte == '-' || byte == '+';
}

/// A number or a word that is right after it is for the caller to refuse.
const char* skip_number(const char* at, const char* end) {
  const char* const begin = at;
  while (at < end && is_digit(*at)) { ++at; }
  const bool is_natural = at != begin && *begin != '0' && !is_in_number(*at);
  if (is_natural) { return at; }
  while (at < end && is_in_number(*at)) { ++at; }
  return is_json_number({begin, static_cast<std::size_t>(at - begin)}) ? at : nullptr;
}

const char* skip_word(const char* at, std::string_view word) {
  return std::string_view(at, word.size()) == word ? at + word.size() : nullptr;
}

}  // namespace

bool PlainJson::read_whole(std::string_view text, int depth) {
  if (text.size() > kMostBytes) { return false; }
  PlainJson reader(text);
  reader.at_ = skip_value(skip_space(reader.at_, reader.end_), reader.end_, depth);
  return reader.at_ != nullptr && reader.read_end();
}

const char* PlainJson::skip_spaces(const char* at, const char* end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) { ++at; }
  return at;
}

const char* PlainJson::skip_array(const char* at, const char* end, int depth) {
  if (depth >= limits::kMaxDepth) { return nullptr; }
  at = skip_space(at + 1, end);
  if (*at == ']') { return at + 1; }
  for (;;) {
    at = skip_value(at, end, depth + 1);
    if (at == nullptr) { return nullptr; }
    at = skip_space(at, end);
    if (at >= end) { return nullptr; }
    if (*at == ']') { return at + 1; }
    if (*at != ',') { return nullptr; }
    at = skip_space(at + 1, end);
  }
}

const char* PlainJson::skip_string(const char* at, const char* end) {
  if (*at != '"') { return nullptr; }
  for (++at; at < end; at += kWide) {
    const std::size_t plain = count_plain(at);
    if (plain == kWide) { continue; }
    return at[plain] == '"' ? at + plain + 1 : nullptr;
  }
  return nullptr;
}

const char* PlainJson::skip_value(const char* at, const char* end, int depth) {
  if (at >= end) { return nullptr; }
  switch (*at) {
    case '{': {
      std::string_view value;
      return skip_object(at, end, depth, [&](const char*& name) {
        name = skip_string(name, end);
        return name != nullptr ? &value : nullptr;
      });
    }
    case '[': return skip_array(at, end, depth);
    case '"': return skip_string(at, end);
    case 't': return skip_word(at, "true");
    case 'f': return skip_word(at, "false");
    case 'n': return skip_word(at, "null");
    default: return skip_number(at, end);
  }
}

}  // namespace handoff
