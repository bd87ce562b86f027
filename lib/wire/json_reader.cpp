// SPDX-License-Identifier: MIT
#include "wire/json_reader.hpp"

#include <simdjson.h>

#include <cstring>
#include <new>

#include "wire/json_scalar.hpp"
#include "wire/limits.hpp"
#include "wire/plain_json.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

static_assert(ReceiveBuffer::kPadding >= simdjson::SIMDJSON_PADDING);

/// The capacity of a reader is a multiple of this many bytes, so that texts of growing length do
/// not reallocate it each time.
constexpr std::size_t kCapacityStep = 64 * 1024;

JsonProblem problem_of(simdjson::error_code error) {
  switch (error) {
    case simdjson::SUCCESS: return JsonProblem::none;
    case simdjson::EMPTY: return JsonProblem::empty;
    case simdjson::UTF8_ERROR: return JsonProblem::utf8;
    case simdjson::UNESCAPED_CHARS: return JsonProblem::control_character;
    case simdjson::UNCLOSED_STRING: return JsonProblem::unclosed_string;
    case simdjson::MEMALLOC: throw std::bad_alloc();
    default: return JsonProblem::punctuation;
  }
}

const unsigned char* as_unsigned(const char* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

bool is_letter(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/// Copies a JSON string without its escapes, from the byte after its first quote. Returns the end
/// of the copy, or null if an escape is invalid. Since 3.2 simdjson asks whether half of a
/// surrogate pair is to be replaced; it is an error here. This is a template because
/// nothing else may hold a call that the installed version does not have.
template <typename Parser>
unsigned char* copy_unescaped(const Parser& parser, const unsigned char* from, unsigned char* to) {
  if constexpr (requires { parser.parse_string(from, to, false); }) {
    return parser.parse_string(from, to, false);
  } else {
    return parser.parse_string(from, to);
  }
}

}  // namespace

std::string_view describe(JsonProblem problem) {
  switch (problem) {
    case JsonProblem::none: return "valid";
    case JsonProblem::empty: return "empty";
    case JsonProblem::utf8: return "invalid UTF-8";
    case JsonProblem::control_character: return "a control character in a string";
    case JsonProblem::unclosed_string: return "a string is not closed";
    case JsonProblem::escape: return "invalid escape in a string";
    case JsonProblem::number: return "invalid number";
    case JsonProblem::word: return "unknown word";
    case JsonProblem::punctuation: return "misplaced or missing punctuation";
    case JsonProblem::depth: return "nested too deeply";
    case JsonProblem::trailing: return "something follows the value";
  }
  return "";
}

JsonReader::JsonReader() {
  const auto error = simdjson::get_active_implementation()->create_dom_parser_implementation(
      kCapacityStep, 1, simdjson_);
  if (error) { throw std::bad_alloc(); }
}

JsonReader::~JsonReader() = default;

JsonProblem JsonReader::open(std::string_view text) {
  next_ = end_ = nullptr;
  text_ = text.data();
  size_ = text.size();
  if (text.size() > simdjson_->capacity()) {
    const std::size_t steps = (text.size() + kCapacityStep - 1) / kCapacityStep;
    if (simdjson_->set_capacity(steps * kCapacityStep)) { throw std::bad_alloc(); }
  }
  const auto error =
      simdjson_->stage1(as_unsigned(text.data()), text.size(), simdjson::stage1_mode::regular);
  if (error) { return problem_of(error); }
  next_ = simdjson_->structural_indexes.get();
  end_ = next_ + simdjson_->n_structural_indexes;
  has_escapes_ = std::memchr(text.data(), '\\', text.size()) != nullptr;
  return JsonProblem::none;
}

JsonProblem JsonReader::read_whole(std::string_view text, int depth) {
  if (PlainJson::read_whole(text, depth)) { return JsonProblem::none; }
  std::string_view json;
  JsonProblem problem = open(text);
  if (problem == JsonProblem::none) { problem = read_value(depth, json); }
  return problem == JsonProblem::none ? read_end() : problem;
}

JsonProblem JsonReader::read_any_value(int depth, std::string_view& json) {
  const std::uint32_t* first = next_;
  const JsonProblem problem = skip_value(depth);
  if (problem != JsonProblem::none) { return problem; }
  json = text_between(text_ + *first, text_ + *next_);
  return JsonProblem::none;
}

JsonProblem JsonReader::skip_value(int depth) {
  switch (peek()) {
    case '{': return skip_object(depth + 1);
    case '[': return skip_array(depth + 1);
    case '"': return skip_string();
    case 't':
    case 'f':
    case 'n': return skip_if(is_json_word(token()), JsonProblem::word);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return skip_if(is_json_number(token()), JsonProblem::number);
    default: return is_letter(peek()) ? JsonProblem::word : JsonProblem::punctuation;
  }
}

JsonProblem JsonReader::skip_array(int depth) {
  if (depth > limits::kMaxDepth) { return JsonProblem::depth; }
  ++next_;
  if (take(']')) { return JsonProblem::none; }
  do {
    if (const auto problem = skip_value(depth); problem != JsonProblem::none) { return problem; }
  } while (take(','));
  return take(']') ? JsonProblem::none : JsonProblem::punctuation;
}

JsonProblem JsonReader::skip_object(int depth) {
  if (depth > limits::kMaxDepth) { return JsonProblem::depth; }
  ++next_;
  if (take('}')) { return JsonProblem::none; }
  std::string_view name;
  do {
    if (const auto problem = read_name(name); problem != JsonProblem::none) { return problem; }
    if (const auto problem = skip_value(depth); problem != JsonProblem::none) { return problem; }
  } while (take(','));
  return take('}') ? JsonProblem::none : JsonProblem::punctuation;
}

bool JsonReader::has_good_escapes() {
  const std::string_view quoted = token();
  if (quoted.find('\\') == std::string_view::npos) { return true; }
  unescaped_.resize(quoted.size() + simdjson::SIMDJSON_PADDING);
  auto* out = reinterpret_cast<unsigned char*>(unescaped_.data());
  return copy_unescaped(*simdjson_, as_unsigned(quoted.data()) + 1, out) != nullptr;
}

std::string_view JsonReader::unescape_any(std::string_view quoted, std::string& copy) const {
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  if (inside.find('\\') == std::string_view::npos) { return inside; }
  copy.resize(quoted.size() + simdjson::SIMDJSON_PADDING);
  auto* out = reinterpret_cast<unsigned char*>(copy.data());
  const auto* end = copy_unescaped(*simdjson_, as_unsigned(inside.data()), out);
  copy.resize(static_cast<std::size_t>(end - out));
  return copy;
}

}  // namespace handoff
