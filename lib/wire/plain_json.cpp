// SPDX-License-Identifier: MIT
#include "wire/plain_json.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

#include "wire/json_scalar.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// The bytes that are compared at once: a vector register of both machines, x86-64 and arm64.
constexpr std::size_t kWide = 16;
using Bytes [[gnu::vector_size(kWide)]] = signed char;
using Halves [[gnu::vector_size(kWide)]] = std::uint64_t;

/// The functions may read this far past the text: to the end of a string that is not closed, or
/// where the name of a field could be.
static_assert(2 * kWide <= ReceiveBuffer::kPadding);
static_assert(std::endian::native == std::endian::little);
/// A natural number that is so short fits into a double.
static_assert(PlainJson::kMostBytes <= 300);

/// Returns how many of the next 16 bytes are plain, up to the first that is not: a quote, a
/// backslash, a control character, or a byte beyond ASCII, which is negative here.
std::size_t count_plain(const char* text) {
  Bytes bytes;
  std::memcpy(&bytes, text, sizeof bytes);
  // A comparison that holds gives -1: a plain byte has all bits set, and any other has its lowest
  // bit clear.
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

/// Does not look at what follows the number: the caller refuses a token that follows it directly.
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
