// SPDX-License-Identifier: MIT
#include "wire/envelope.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "unit/wire/body.hpp"

namespace handoff {
namespace {

/// A text, and the envelope that was read of it.
struct Read {
  explicit Read(std::string_view text) : json(bodies.place(text)) { read(); }

  void read() {
    problem = reader.open(json);
    if (problem == JsonProblem::none) { problem = read_envelope(reader, 0, envelope); }
    if (problem == JsonProblem::none) { problem = reader.read_end(); }
  }
  void read_next(std::string_view text) {
    json = bodies.place(text);
    read();
  }

  test::Bodies bodies;
  std::string_view json;
  JsonReader reader;
  Envelope envelope;
  JsonProblem problem = JsonProblem::none;
};

TEST_CASE("each field of a message is found, with its JSON text as it was written") {
  const Read read(R"({ "in": "a b", "params": [1, 2] , "id":7,"out":"o","result":{"x": null},)"
                  R"("jsonrpc":"2.0","method":"m","error":{"code":1}})");
  REQUIRE(read.problem == JsonProblem::none);
  CHECK(read.envelope.is_object);
  CHECK(read.envelope[Envelope::in] == R"("a b")");
  CHECK(read.envelope[Envelope::params] == "[1, 2]");
  CHECK(read.envelope[Envelope::id] == "7");
  CHECK(read.envelope[Envelope::out] == R"("o")");
  CHECK(read.envelope[Envelope::result] == R"({"x": null})");
  CHECK(read.envelope[Envelope::json_rpc] == R"("2.0")");
  CHECK(read.envelope[Envelope::method] == R"("m")");
  CHECK(read.envelope[Envelope::error] == R"({"code":1})");
  CHECK(!read.envelope.has(Envelope::other));
  CHECK(read.envelope.repeated == 0);
}

TEST_CASE("a field that is not there is empty, and names that are no field are one other") {
  const Read read(R"({"IN":1,"i":2,"ids":3,"paramz":4,"":5,"jsonrp":6})");
  REQUIRE(read.problem == JsonProblem::none);
  CHECK(read.envelope.seen == Envelope::bit(Envelope::other));
  CHECK(!read.envelope.has(Envelope::in));
  CHECK(read.envelope[Envelope::in].empty());
}

TEST_CASE("a field that comes twice is told, and its last text counts") {
  const Read read(R"({"id":1,"in":"a","id":2})");
  CHECK(read.envelope[Envelope::id] == "2");
  CHECK(read.envelope.repeats(Envelope::id));
  CHECK(read.envelope.repeats(Envelope::in, Envelope::id));
  CHECK(!read.envelope.repeats(Envelope::in));
}

TEST_CASE("a name that is written with escapes is the same name") {
  const Read read(R"({"\u0069n":"a","\u0069d":1,"id":2})");
  REQUIRE(read.problem == JsonProblem::none);
  CHECK(read.envelope[Envelope::in] == R"("a")");
  CHECK(read.envelope.repeats(Envelope::id));
}

TEST_CASE("a value that is no object has no field") {
  for (const char* text : {"1", "\"in\"", "[{\"in\":1}]", "null"}) {
    const Read read(text);
    CHECK(read.problem == JsonProblem::none);
    CHECK(!read.envelope.is_object);
    CHECK(read.envelope.seen == 0);
  }
}

TEST_CASE("an envelope that is read anew forgets the message before") {
  Read read(R"({"in":"a","in":"b"})");
  read.read_next(R"({"out":"o"})");
  CHECK(read.envelope.seen == Envelope::bit(Envelope::out));
  CHECK(read.envelope.repeated == 0);
  read.read_next("1");
  CHECK(!read.envelope.is_object);
  CHECK(read.envelope[Envelope::out].empty());
}

TEST_CASE("what is wrong within a message is found, also in a field that nobody asks for") {
  CHECK(Read(R"({"x":tru})").problem == JsonProblem::word);
  CHECK(Read(R"({"x":01})").problem == JsonProblem::number);
  CHECK(Read(R"({"x" 1})").problem == JsonProblem::punctuation);
  CHECK(Read("[1,]").problem != JsonProblem::none);
  CHECK(Read("{} {}").problem == JsonProblem::trailing);
}

TEST_CASE("the depth of a message counts what it stands in") {
  const auto problem_in = [](int depth) {
    test::Bodies bodies;
    JsonReader reader;
    Envelope envelope;
    const std::string text =
        "{\"params\":" + test::nested(static_cast<std::size_t>(limits::kMaxDepth) - 1) + "}";
    REQUIRE(reader.open(bodies.place(text)) == JsonProblem::none);
    return read_envelope(reader, depth, envelope);
  };
  CHECK(problem_in(0) == JsonProblem::none);
  CHECK(problem_in(1) == JsonProblem::depth);
}

}  // namespace
}  // namespace handoff
