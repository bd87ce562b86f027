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

/// The ways in which a JSON text can be invalid; `none` means that it is valid so far.
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

/// Returns a phrase for people, without a full stop. explain() adds where the problem is.
std::string_view describe(JsonProblem problem);

/// Reads a JSON text from its first byte to its last and returns where its values are, without
/// copying.
///
/// open() runs simdjson's first pass, which finds the tokens with vector instructions and checks
/// that the text is UTF-8, that its strings are closed, and that they contain no control
/// characters. The other functions check the rest as they proceed: grammar, nesting, numbers,
/// words, escapes. A text that was read to its end is therefore valid as a whole. (simdjson's own
/// On-Demand reader takes twice the instructions after that pass for bodies of 100 bytes, and
/// judges some numbers and words wrongly.)
///
/// A reader keeps memory for the longest text it has read: four bytes for each byte of the text. It
/// may be used by one thread at a time. Its functions throw std::bad_alloc when there is no memory.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// Begins to read `text`. The text must stay unchanged while the reader or its results are used,
  /// and ReceiveBuffer::kPadding readable bytes must follow it. Returns what simdjson's first pass
  /// has found; after a problem nothing else may be read.
  JsonProblem open(std::string_view text);

  /// Returns the text that was opened last.
  std::string_view text() const { return {text_, size_}; }
  /// Returns the offset of the next token in the text, or the text's size at the end. After a
  /// problem that open() has not reported, the problem is there.
  std::size_t offset() const { return next_ == end_ ? size_ : *next_; }

  /// Returns the first byte of the next token, 0 at the end.
  char peek() const { return next_ == end_ ? '\0' : text_[*next_]; }
  /// Consumes the next token if it is `punctuation`. Returns whether it was.
  bool take(char punctuation) {
    if (peek() != punctuation) { return false; }
    ++next_;
    return true;
  }
  /// Returns JsonProblem::trailing if any token is left, else none.
  JsonProblem read_end() const { return next_ == end_ ? JsonProblem::none : JsonProblem::trailing; }

  /// Opens `text` and reads it from its first byte to its last as one value. `depth` is the number
  /// of arrays and objects that are to stand around the value. After success text(), offset() and
  /// has_escapes() may describe an earlier text, because a plain text takes a shorter way.
  JsonProblem read_whole(std::string_view text, int depth);

  /// Reads the next value and stores its text, without the space around it, in `json`. `depth` is
  /// the number of arrays and objects around the value; more than limits::kMaxDepth are a problem.
  JsonProblem read_value(int depth, std::string_view& json) {
    if (peek() != '"' || has_escapes_) { return read_any_value(depth, json); }
    json = token();
    ++next_;
    return JsonProblem::none;
  }

  /// Reads the next value, which peek() says is an object. Calls `value_of` with each name, a
  /// quoted JSON string, before the value; it returns a std::string_view& in which the text of the
  /// value is stored. Names that are repeated are the caller's business.
  template <typename ValueOf>
  JsonProblem read_object(int depth, ValueOf value_of);

  /// Returns whether a string in the text may have escapes. If not, unquote() returns the text of
  /// any string.
  bool has_escapes() const { return has_escapes_; }
  /// Returns what stands between the quotes of a JSON string, with its escapes as they are.
  static std::string_view unquote(std::string_view quoted) {
    return {quoted.data() + 1, quoted.size() - 2};
  }
  /// Returns the text of a JSON string that this reader has read. The result points into the text
  /// if the string has no escapes, and else into `copy`.
  std::string_view unescape(std::string_view quoted, std::string& copy) const {
    return has_escapes_ ? unescape_any(quoted, copy) : unquote(quoted);
  }

 private:
  /// Returns the text of the next token, which must exist.
  std::string_view token() const { return text_between(text_ + *next_, text_ + next_[1]); }
  /// Returns the text from `begin` to `end` without the space at its end.
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
  const std::uint32_t* next_ =
      nullptr;  ///< the offsets of the remaining tokens; the end of the text follows the last
  const std::uint32_t* end_ = nullptr;
  bool has_escapes_ = false;  ///< the text contains a backslash
  std::string unescaped_;     ///< scratch
};

/// Only space can stand between a token's end and the next token.
inline std::string_view JsonReader::text_between(const char* begin, const char* end) {
  const auto is_space = [](char byte) {
    return byte <= ' ' && (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r');
  };
  while (is_space(end[-1])) { --end; }
  return {begin, static_cast<std::size_t>(end - begin)};
}

/// Reads a string and the colon that follows it.
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
