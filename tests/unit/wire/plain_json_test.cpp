// SPDX-License-Identifier: MIT
#include "wire/plain_json.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "unit/wire/body.hpp"
#include "wire/envelope.hpp"
#include "wire/json_reader.hpp"
#include "wire/receive_buffer.hpp"
#include "wire/reply.hpp"

namespace handoff {
namespace {

/// A text, and bytes after it that may seem to go on with it.
class Text {
 public:
  explicit Text(std::string_view text, char after = ' ') : bytes_(text), size_(text.size()) {
    bytes_.append(ReceiveBuffer::kPadding, after);
  }
  std::string_view view() const { return std::string_view(bytes_).substr(0, size_); }

 private:
  std::string bytes_;
  std::size_t size_;
};

bool reads(std::string_view text, int depth = 0) {
  return PlainJson::read_whole(Text(text).view(), depth);
}

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) {
    return static_cast<unsigned char>(byte) < 0x80 && byte != '\\';
  });
}

/// Whether JsonReader, which never asks PlainJson for that, finds a message in `text`.
bool reads_with_json_reader(std::string_view text, Envelope& envelope) {
  static JsonReader reader;
  return reader.open(text) == JsonProblem::none &&
         read_envelope(reader, 0, envelope) == JsonProblem::none &&
         reader.read_end() == JsonProblem::none;
}

/// Checks that a message is read as JsonReader reads it, or not at all if it is not plain, whatever
/// stands after it. Returns whether it is valid.
bool check_alike(std::string_view json) {
  REQUIRE(json.size() <= PlainJson::kMostBytes);
  bool is_valid = false;
  for (const char after : {' ', '"', ']'}) {
    const Text text(json, after);
    Envelope expected;
    is_valid = reads_with_json_reader(text.view(), expected);
    const bool is_expected = is_valid && is_plain(json);
    Envelope envelope;
    const bool is_read = read_plain_envelope(text.view(), envelope);
    if (is_read != (is_expected && expected.is_object)) { FAIL(is_read << ": " << json); }
    if (PlainJson::read_whole(text.view(), 0) != is_expected) { FAIL(is_expected << ": " << json); }
    if (!is_read) { continue; }
    if (envelope.seen != expected.seen) { FAIL(json); }
    if (envelope.repeated != expected.repeated) { FAIL(json); }
    for (std::size_t field = 0; field <= Envelope::other; ++field) {
      if ((envelope.seen & (1U << field)) == 0) { continue; }
      if (envelope.json[field].data() != expected.json[field].data() ||
          envelope.json[field].size() != expected.json[field].size()) {
        FAIL(envelope.json[field] << " in " << json);
      }
    }
  }
  return is_valid;
}

constexpr std::string_view kMessages[] = {
    R"({"in":"ping","params":null})",
    R"({"in":"echo","params":{"a": 1, "b": [1.5, true, null], "c": "some text"},"id":7})",
    R"( { "in" : "a b" , "params" : [ 1 , { } , [ ] ] , "id" : "i" } )",
    "{\n\t\"in\": \"m\",\r\n\t\"params\": {\"x\": {\"y\": {\"z\": -0.5e-7}}}\n}\n",
    R"({"jsonrpc":"2.0","method":"sum","params":[1,2,3],"id":"4f"})",
    R"({"jsonrpc":"2.0","result":{"n":12345678901234567890},"id":null})",
    R"({"jsonrpc":"2.0","error":{"code":-32601,"message":"no such method"},"id":1})",
    R"({"out":"pong","result":"0123456789abcdef0123456789abcdef0123456789abcdef"})",
    R"({"in":"m","in":"n","id":1,"id":2,"x":1,"x":2,"":3})",
    R"({"In":1,"i":2,"ids":3,"inn":4,"paramz":5,"jsonrp":6,"in ":7,"methods":8,"erro":9})",
    R"({"\u0069n":"m","params":"\"\\\/\b\f\n\r\t\ud83d\ude00"})",
    "{\"in\":\"caf\xC3\xA9\",\"params\":\"\xE2\x82\xAC \xF0\x9F\x98\x80\"}",
    R"({"in":"m","params":[true,false,null,0,-0,10,1e5,1E+05,0.0,1e400,1e-400,"",{},[]]})",
    R"({})",
    R"([{"in":"m"}])",
    R"("in")",
    R"(-12.5e3)",
    R"(null)",
};

TEST_CASE("a short message is read as the reader of all JSON reads it") {
  for (const std::string_view message : kMessages) {
    CAPTURE(message);
    check_alike(message);
  }
}

TEST_CASE("a message that is cut short anywhere is read by neither reader") {
  for (const std::string_view message : kMessages) {
    for (std::size_t size = 0; size < message.size(); ++size) {
      check_alike(message.substr(0, size));
    }
  }
}

TEST_CASE("a message with any one byte in the place of another is read alike by both readers") {
  std::size_t valid = 0;
  std::size_t invalid = 0;
  for (const std::string_view message : kMessages) {
    std::string changed(message);
    for (std::size_t at = 0; at < changed.size(); ++at) {
      for (const char byte :
           std::string_view("\"\\{}[],:. \t\n\v\0\x1F\x7F\x80\xC3\xFF-+0eEtnx", 28)) {
        changed[at] = byte;
        ++(check_alike(changed) ? valid : invalid);
      }
      changed[at] = message[at];
    }
  }
  CHECK(valid > 1'000);
  CHECK(invalid > 10'000);
}

TEST_CASE("messages that chance has mixed are read alike by both readers") {
  const std::string_view tokens[] = {
      "{",      "}",        "[",          "]",         ",",    ":",
      "\"in\"", "\"id\"",   "\"x\"",      "1",         "-2.5", "1e999",
      "01",     "true",     "null",       " ",         "\n",   "\"\\n\"",
      "\"",     "\xC3\xA9", "\"params\"", "{\"a\":1}", "[[]]", "\"jsonrpc\":\"2.0\""};
  std::mt19937 random(2027);  // NOLINT(cert-msc51-cpp): the same texts each time
  std::size_t valid = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text = random() % 2 == 0 ? "{\"in\":" : "";
    for (auto count = random() % 8; count > 0; --count) {
      text.append(tokens[random() % std::size(tokens)]);
    }
    if (random() % 2 == 0) { text.push_back('}'); }
    valid += check_alike(text) ? 1 : 0;
  }
  CHECK(valid > 100);
}

TEST_CASE("a string is plain but for the bytes that end it or need a closer look") {
  for (std::size_t before = 0; before < 40; ++before) {
    for (int byte = 0; byte < 256; ++byte) {
      CAPTURE(before);
      CAPTURE(byte);
      const std::string text =
          "\"" + std::string(before, 'a') + static_cast<char>(byte) + std::string(40 - before, 'b');
      const bool is_special = byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
      CHECK(reads(text + "\"") == !is_special);
      CHECK(!reads(text));
      CHECK(reads(text.substr(0, before + 1) + "\"") == true);
    }
  }
}

TEST_CASE("nesting is bounded, what stands around a value included") {
  constexpr int kMost = limits::kMaxDepth;
  CHECK(reads(test::nested(kMost)));
  CHECK(!reads(test::nested(kMost + 1)));
  CHECK(reads(test::nested(kMost - 1), 1));
  CHECK(!reads(test::nested(kMost), 1));
  CHECK(check_alike(R"({"in":)" + test::nested(kMost - 1) + "}"));
  CHECK(!check_alike(R"({"in":)" + test::nested(kMost) + "}"));
  const std::string objects = test::repeat(R"({"":)", 40);
  CHECK(!check_alike(objects + test::repeat("[", 25)));
}

TEST_CASE("what stands after a text is not taken for a part of it, however well it would fit") {
  for (const std::string_view text :
       {"[1", "[\"a", "{\"a\":1", "{\"a\"", "tru", "\"a", "[[[[[\"a"}) {
    for (const char after : {']', '}', '"', 'e', ':', '1'}) {
      CAPTURE(text);
      CAPTURE(after);
      CHECK(!PlainJson::read_whole(Text(text, after).view(), 0));
    }
  }
  CHECK(PlainJson::read_whole(Text("12", '3').view(), 0));
  CHECK(PlainJson::read_whole(Text("true", 'e').view(), 0));
  Envelope envelope;
  CHECK(!read_plain_envelope(Text(R"({"in":"a","params":"b)", '"').view(), envelope));
}

TEST_CASE("a longer text is left to the reader of all JSON") {
  const auto string_of = [](std::size_t size) { return "\"" + std::string(size - 2, 'x') + "\""; };
  CHECK(reads(string_of(PlainJson::kMostBytes)));
  CHECK(!reads(string_of(PlainJson::kMostBytes + 1)));
  const std::string message = R"({"in":"m"})";
  Envelope envelope;
  const std::string most = message + std::string(PlainJson::kMostBytes - message.size(), ' ');
  CHECK(read_plain_envelope(Text(most).view(), envelope));
  CHECK(!read_plain_envelope(Text(most + " ").view(), envelope));
}

/// What a parser says of a body, as one text. A place that is the end is left out: it moves when
/// the text is padded.
std::string verdict_on(test::Bodies& bodies, const std::string& body, Dialect usual) {
  std::string text;
  const ParsedBody parsed = bodies.parse_body(body, usual);
  for (const ParsedRequest& each : parsed.requests) {
    if (const auto* bad = std::get_if<BadRequest>(&each)) {
      const bool is_at_end = bad->message.ends_with(", the end");
      const auto size = is_at_end ? bad->message.find(" at ") : bad->message.size();
      text.append("bad: ").append(bad->message.substr(0, size)).append(" under ").append(bad->id);
    } else {
      const auto& request = std::get<Request>(each);
      text.append(request.method).append("(").append(request.params).append(") under ");
      text.append(request.id).append(request.dialect == Dialect::article ? " a" : " j");
    }
  }
  return text.append(parsed.is_batch ? " batch" : "");
}

TEST_CASE("the verdict on a body does not depend on its length, and so not on who reads it") {
  test::Bodies bodies;
  const std::string padding(PlainJson::kMostBytes, ' ');
  for (const std::string_view message : kMessages) {
    for (std::size_t size = 1; size <= message.size(); ++size) {
      const std::string body(message.substr(0, size));
      for (const Dialect usual : {Dialect::article, Dialect::json_rpc}) {
        CAPTURE(body);
        const std::string verdict = verdict_on(bodies, body, usual);
        CHECK(verdict == verdict_on(bodies, body + padding, usual));
      }
    }
  }
}

TEST_CASE("the verdict on a reply does not depend on its length either") {
  test::Bodies bodies;
  const std::string padding(PlainJson::kMostBytes, ' ');
  // The one before leaves a reader that has seen escapes.
  for (const std::string_view before :
       {R"({"out":"\u0061","result":1})", R"({"out":"b","result":2})"}) {
    bodies.reply(std::string(before) + padding);
    const Reply reply = bodies.reply(R"({"out":"a b","result":[1, 2],"id":3})");
    CHECK(reply.out == "a b");
    CHECK(reply.result == "[1, 2]");
    CHECK(reply.id == "3");
  }
  for (const std::string body : {R"({"out":"a","result":tru})", R"({"out":"a"})", "[1]", "1"}) {
    CAPTURE(body);
    CHECK_THROWS_AS(bodies.reply(body), ProtocolError);
    CHECK_THROWS_AS(bodies.reply(body + padding), ProtocolError);
  }
}

}  // namespace
}  // namespace handoff
