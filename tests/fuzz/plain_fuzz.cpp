// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/request.hpp>

#include "fuzz/judge.hpp"
#include "fuzz/support.hpp"
#include "wire/envelope.hpp"
#include "wire/json_reader.hpp"
#include "wire/plain_json.hpp"

/// Short texts mean the same to the reader of those that are plain as to the reader of all,
/// whatever stands after them.
namespace handoff::fuzz {
namespace {

/// What could stand after a text and seem to go on with it.
constexpr std::string_view kAfter{" \0\"}]1e,:", 9};

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) {
    return static_cast<unsigned char>(byte) < 0x80 && byte != '\\';
  });
}

void check_envelope(const Envelope& read, const Envelope& expected) {
  check(read.is_object && expected.is_object, "a message is an object");
  check(read.seen == expected.seen, "the same fields are there");
  check(read.repeated == expected.repeated, "the same fields are repeated");
  for (std::size_t field = 0; field <= Envelope::other; ++field) {
    if ((read.seen & (1U << field)) == 0) { continue; }
    check(read.json[field].data() == expected.json[field].data() &&
              read.json[field].size() == expected.json[field].size(),
          "each field has the same text");
  }
}

void check_text(std::string_view text) {
  static JsonReader reader;
  Envelope expected;
  const bool is_valid = reader.open(text) == JsonProblem::none &&
                        read_envelope(reader, 0, expected) == JsonProblem::none &&
                        reader.read_end() == JsonProblem::none;
  const bool is_expected = is_valid && is_plain(text);
  check(PlainJson::read_whole(text, 0) == is_expected, "a valid text is read if it is plain");
  Envelope envelope;
  const bool is_read = read_plain_envelope(text, envelope);
  check(is_read == (is_expected && expected.is_object), "so is a message");
  if (is_read) { check_envelope(envelope, expected); }
}

/// What a refusal says is wrong, without the place, which may be the end of the text.
std::string_view problem_of(const BadRequest& bad) {
  return bad.message.substr(0, bad.message.find(" at "));
}

void check_same(const ParsedRequest& one, const ParsedRequest& other) {
  check(one.index() == other.index(), "both are requests, or neither is");
  if (const auto* bad = std::get_if<BadRequest>(&one)) {
    const auto& other_bad = std::get<BadRequest>(other);
    check(bad->code == other_bad.code, "the code is the same");
    check(problem_of(*bad) == problem_of(other_bad), "the problem is the same");
    check(bad->id == other_bad.id, "the refusal has the same id");
    return check(bad->dialect == other_bad.dialect, "the refusal has the same dialect");
  }
  const auto& request = std::get<Request>(one);
  const auto& other_request = std::get<Request>(other);
  check(request.method == other_request.method, "the method is the same");
  check(request.params == other_request.params, "the params are the same");
  check(request.id == other_request.id, "the id is the same");
  check(request.dialect == other_request.dialect, "the dialect is the same");
}

/// With space after it, a text is too long for the reader of short ones.
void check_padded(std::string_view text) {
  static RequestParser parser;
  static RequestParser other_parser;
  PlacedBody body(text);
  PlacedBody padded(std::string(text) + std::string(PlainJson::kMostBytes, ' '));
  for (const Dialect usual : {Dialect::article, Dialect::json_rpc}) {
    const ParsedBody one = parser.parse(body.text(), usual);
    const ParsedBody other = other_parser.parse(padded.text(), usual);
    check(one.is_batch == other.is_batch, "both are batches, or neither is");
    check(one.requests.size() == other.requests.size(), "both have as many requests");
    for (std::size_t i = 0; i < one.requests.size(); ++i) {
      check_same(one.requests[i], other.requests[i]);
    }
  }
}

void run(std::string_view input) {
  const std::string_view text = input.substr(0, PlainJson::kMostBytes);
  for (const char after : kAfter) { check_text(PlacedBody(text, after).text()); }
  check_padded(text);
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
