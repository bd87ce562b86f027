// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace simdjson::internal {
class dom_parser_implementation;
}

namespace handoff {

/// What is wrong with a JSON text.
enum class JsonProblem : std::uint8_t {
  none,
  empty,
  utf8,
  control_character,  ///< in a string
  unclosed_string,
  escape,
  number,
  word,
  punctuation,
  depth,
  trailing,
};

/// For people, without a full stop. See also explain(), which says where the problem is.
std::string_view describe(JsonProblem problem);

/// Reads a JSON text from its first byte to its last, and says where the values are.
///
/// simdjson's first pass finds the tokens with vector instructions; it has checked UTF-8, and that
/// strings are closed and have no control characters, before anything is read. What follows checks
/// the rest as it goes: grammar, nesting, numbers, words, escapes. So what was read to its end is
/// valid, all of it. (simdjson's own On-Demand reader takes twice the instructions behind that pass
/// for bodies of 100 bytes, and judges some numbers and words wrongly.)
///
/// A reader keeps memory for the longest text so far: four bytes for each of its own.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// Begins with a text, which must stay as it is until it was read, and have
  /// ReceiveBuffer::kPadding readable bytes behind it.
  JsonProblem open(std::string_view text);

  /// The text that was opened.
  std::string_view text() const { return {text_, size_}; }
  /// Where the next token begins in the text, or its size at the end. After a problem that open()
  /// did not find, that is where the problem is.
  std::size_t offset() const { return next_ == end_ ? size_ : *next_; }

  /// The first byte of the next token, 0 at the end.
  char peek() const { return next_ == end_ ? '\0' : text_[*next_]; }
  /// Whether that was the next token; it is behind us then.
  bool take(char punctuation) {
    if (peek() != punctuation) { return false; }
    ++next_;
    return true;
  }
  /// What is wrong when nothing should follow.
  JsonProblem read_end() const { return next_ == end_ ? JsonProblem::none : JsonProblem::trailing; }

  /// Reads `text`, as for open(), from its first byte to its last, as one value around which
  /// `depth` arrays and objects are to stand.
  JsonProblem read_whole(std::string_view text, int depth);

  /// Reads a value, around which stand `depth` arrays and objects, and gives its text.
  JsonProblem read_value(int depth, std::string_view& json) {
    if (peek() != '"' || has_escapes_) { return read_any_value(depth, json); }
    json = token();
    ++next_;
    return JsonProblem::none;
  }

  /// Reads an object in the same way, when peek() says that one is next. `value_of` is given each
  /// name, a JSON string, and gives a std::string_view& for the text of its value.
  template <typename ValueOf>
  JsonProblem read_object(int depth, ValueOf value_of);

  /// Whether a string in the text may have escapes: else unquote() gives the text of any.
  bool has_escapes() const { return has_escapes_; }
  /// What stands between the quotes of a JSON string.
  static std::string_view unquote(std::string_view quoted) {
    return {quoted.data() + 1, quoted.size() - 2};
  }
  /// The text of a JSON string that was read. Without escapes it needs no copy.
  std::string_view unescape(std::string_view quoted, std::string& copy) const {
    return has_escapes_ ? unescape_any(quoted, copy) : unquote(quoted);
  }

 private:
  /// The next one, which is there.
  std::string_view token() const { return text_between(text_ + *next_, text_ + next_[1]); }
  /// Without the space in front of `end`.
  static std::string_view text_between(const char* begin, const char* end);
  JsonProblem read_name(std::string_view& name);
  JsonProblem read_any_value(int depth, std::string_view& json);
  JsonProblem skip_value(int depth);
  JsonProblem skip_array(int depth);
  JsonProblem skip_object(int depth);
  JsonProblem skip_string() {
    return skip_if(!has_escapes_ || has_good_escapes(), JsonProblem::escape);
  }
  JsonProblem skip_if(bool valid, JsonProblem otherwise) {
    if (!valid) { return otherwise; }
    ++next_;
    return JsonProblem::none;
  }
  bool has_good_escapes();
  std::string_view unescape_any(std::string_view quoted, std::string& copy) const;

  std::unique_ptr<simdjson::internal::dom_parser_implementation> simdjson_;
  const char* text_ = nullptr;
  std::size_t size_ = 0;
  const std::uint32_t* next_ = nullptr;  ///< where tokens begin; behind the last stands the end
  const std::uint32_t* end_ = nullptr;
  bool has_escapes_ = false;  ///< there is a backslash
  std::string unescaped_;     ///< scratch
};

/// Nothing but space stands between two tokens.
inline std::string_view JsonReader::text_between(const char* begin, const char* end) {
  const auto is_space = [](char byte) {
    return byte <= ' ' && (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r');
  };
  while (is_space(end[-1])) { --end; }
  return {begin, static_cast<std::size_t>(end - begin)};
}

/// A string and the colon behind it.
inline JsonProblem JsonReader::read_name(std::string_view& name) {
  if (peek() != '"') { return JsonProblem::punctuation; }
  name = token();
  if (const auto problem = skip_string(); problem != JsonProblem::none) { return problem; }
  return take(':') ? JsonProblem::none : JsonProblem::punctuation;
}

template <typename ValueOf>
JsonProblem JsonReader::read_object(int depth, ValueOf value_of) {
  if (!take('{')) { return JsonProblem::punctuation; }
  if (take('}')) { return JsonProblem::none; }
  do {
    std::string_view name;
    if (const auto problem = read_name(name); problem != JsonProblem::none) { return problem; }
    const auto problem = read_value(depth + 1, value_of(name));
    if (problem != JsonProblem::none) { return problem; }
  } while (take(','));
  return take('}') ? JsonProblem::none : JsonProblem::punctuation;
}

}  // namespace handoff
