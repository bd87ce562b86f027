// SPDX-License-Identifier: MIT
#include "commands/render.hpp"

#include <doctest/doctest.h>

#include <string>

using handoff::render_json;
using handoff::Rendering;

TEST_CASE("compact is one line without white space between tokens") {
  CHECK(render_json(" { \"a\" : [ 1 ,\n2 ] } ", Rendering::compact) == R"({"a":[1,2]})");
  CHECK(render_json("null", Rendering::compact) == "null");
}

TEST_CASE("white space inside of a string stays") {
  CHECK(render_json(R"([ "a  b" , "\n" ])", Rendering::compact) == R"(["a  b","\n"])");
}

TEST_CASE("no token is changed, however a number or a string is written") {
  for (const char* token : {"1.10", "1e2", "-0", "12345678901234567890123", "\"\\u00fc\"",
                            "\"\\/\"", "true", "false"}) {
    CAPTURE(token);
    CHECK(render_json(token, Rendering::compact) == token);
    CHECK(render_json(token, Rendering::pretty) == token);
  }
}

TEST_CASE("pretty gives each member a line of its own, indented by two") {
  CHECK(render_json(R"({"a":[1,{"b":2}],"c":"d"})", Rendering::pretty) == R"({
  "a": [
    1,
    {
      "b": 2
    }
  ],
  "c": "d"
})");
}

TEST_CASE("pretty keeps empty brackets together") {
  CHECK(render_json("{ }", Rendering::pretty) == "{}");
  CHECK(render_json("[[ ],{}]", Rendering::pretty) == "[\n  [],\n  {}\n]");
}

TEST_CASE("pretty leaves punctuation inside of a string alone") {
  CHECK(render_json(R"(["[,{:\"}]","\\"])", Rendering::pretty) ==
        "[\n  \"[,{:\\\"}]\",\n  \"\\\\\"\n]");
}

TEST_CASE("raw is a string's text, and one line for anything else") {
  CHECK(render_json(R"("say \"hi\"\n\u00fc")", Rendering::raw) == "say \"hi\"\n\u00fc");
  CHECK(render_json(R"("")", Rendering::raw) == "");
  CHECK(render_json(R"([ "a" ])", Rendering::raw) == R"(["a"])");
  CHECK(render_json("1.10", Rendering::raw) == "1.10");
}

TEST_CASE("raw keeps a zero byte of a string") {
  CHECK(render_json(R"("a\u0000b")", Rendering::raw) == std::string("a\0b", 3));
}

TEST_CASE("on a terminal characters that could command it are escaped, and elsewhere they stay") {
  using handoff::Output;
  constexpr const char* kJson = "[\"\x7F\xC2\x9B\"]";
  CHECK(render_json(kJson, Rendering::compact, Output::terminal) == R"(["\u007f\u009b"])");
  CHECK(render_json(kJson, Rendering::pretty, Output::terminal) == "[\n  \"\\u007f\\u009b\"\n]");
  CHECK(render_json(kJson, Rendering::raw, Output::terminal) == R"(["\u007f\u009b"])");
  CHECK(render_json(kJson, Rendering::compact, Output::other) == kJson);
}

TEST_CASE("a raw string is given as it is to a terminal, too") {
  CHECK(render_json(R"("\u001b[1m")", Rendering::raw, handoff::Output::terminal) == "\x1B[1m");
}

TEST_CASE("a document as deep as a frame may have it is rendered") {
  const std::string deep = std::string(64, '[') + std::string(64, ']');
  CHECK(render_json(deep, Rendering::compact) == deep);
  const std::string pretty = render_json(deep, Rendering::pretty);
  CHECK(pretty.starts_with("[\n  [\n    ["));
  CHECK(pretty.ends_with("]\n  ]\n]"));
}
