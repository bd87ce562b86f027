// SPDX-License-Identifier: MIT
#include "wire/start.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "wire/frame_decoder.hpp"
#include "wire/framing.hpp"

namespace handoff {

std::ostream& operator<<(std::ostream& out, Start start) {
  constexpr std::string_view kNames[] = {"undecided", "lines", "length", "stranger"};
  return out << kNames[static_cast<std::size_t>(start)];
}

namespace {

std::span<const char> bytes_of(std::string_view text) {
  return {text.data(), text.size()};
}

Start judge(std::string_view text, Framing expected = Framing::unknown) {
  return judge_start(bytes_of(text), expected, MoreBytes::may_follow).start;
}

/// The same when no more bytes come.
Start judge_all(std::string_view text, Framing expected = Framing::unknown) {
  return judge_start(bytes_of(text), expected, MoreBytes::none_follow).start;
}

std::size_t blanks_of(std::string_view text, Framing expected = Framing::unknown) {
  return judge_start(bytes_of(text), expected, MoreBytes::may_follow).blanks;
}

std::string answer_to(std::string_view text) {
  std::string out;
  append_answer_to_stranger(out, bytes_of(text));
  return out;
}

std::string four(unsigned first, unsigned second, unsigned third, unsigned fourth) {
  return {static_cast<char>(first), static_cast<char>(second), static_cast<char>(third),
          static_cast<char>(fourth)};
}

// By the first four bytes.

TEST_CASE("fewer than four bytes decide nothing while more may come") {
  for (const std::string_view bytes : {"", "{", "{}", "{}\n", "\n\n\n", "GET", "1\n", "\xFF\xFF"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes) == Start::undecided);
    CHECK(judge(bytes, Framing::length) == Start::undecided);
  }
  CHECK(judge(std::string_view("\0\0\0", 3)) == Start::undecided);
}

TEST_CASE("four bytes that are no text are a length, within the limit or over it") {
  CHECK(judge(std::string(4, '\0')) == Start::length);
  CHECK(judge(four('\n', 0, 0, 0)) == Start::length);
  CHECK(judge(four('{', '"', 0, 0)) == Start::length);
  CHECK(judge(four('a', 'b', 'c', 7)) == Start::length);
  CHECK(judge(four('a', 'b', 'c', 0x7F)) == Start::length);
  CHECK(judge(four('{', '"', 0xC3, 0xA9)) == Start::length);
  CHECK(judge(four(0xEF, 0xBB, 0xBF, '{')) == Start::length);
  CHECK(judge(four(0xFF, 0xFF, 0xFF, 0xFF)) == Start::length);
  CHECK(judge(four(0x16, 3, 1, 2) + "TLS") == Start::length);
  CHECK(judge(four(5, 0, 0, 0) + "{}\n{}\n") == Start::length);
}

TEST_CASE(
    "any four bytes that can be text are judged as text, and over the highest limit as a length") {
  std::string text = "\t\n\r";
  for (char byte = 0x20; byte < 0x7F; ++byte) { text.push_back(byte); }
  for (const char first : text) {
    for (const char fourth : text) {
      for (const char inner : {'\t', ' ', '~'}) {
        const std::string bytes{first, inner, inner, fourth};
        CAPTURE(bytes);
        const std::size_t start = bytes.find_first_not_of(" \t\r\n");
        const bool is_client =
            start != std::string::npos && (bytes[start] == '{' || bytes[start] == '[');
        if (judge(bytes) == Start::length) { FAIL_CHECK("a length"); }
        if ((judge(bytes) == Start::lines) != is_client) {
          FAIL_CHECK("not judged by its first byte");
        }
        const DecodedFrame frame = decode_frame(bytes_of(bytes), limits::kHighestMaxFrame);
        if (frame.outcome != DecodedFrame::Outcome::oversized) { FAIL_CHECK("a good length"); }
      }
    }
  }
}

TEST_CASE("text is what can be printed, and white space") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string bytes{'[', static_cast<char>(byte), '1', ']'};
    const bool is_text =
        (byte >= 0x20 && byte <= 0x7E) || byte == '\t' || byte == '\n' || byte == '\r';
    CHECK(judge(bytes) == (is_text ? Start::lines : Start::length));
  }
}

// By the first byte that is no blank.

TEST_CASE("text that begins with a brace or a bracket is lines, whatever follows") {
  for (const std::string_view bytes : {"{\"in\"", "[{\"j", "[1]\n", "{}\n{", "{nonsense", "[[[[",
                                       "{\"a\"\xFF", "  {\"", "\r\n\r\n{", "\t\t\t\t \n["}) {
    CAPTURE(bytes);
    CHECK(judge(bytes) == Start::lines);
    CHECK(judge_all(bytes) == Start::lines);
  }
}

TEST_CASE("text that begins in any other way is a stranger's") {
  for (const std::string_view bytes :
       {"null", "\"ping\"", "1234", "GET / HTTP/1.1", "POST", "SSH-2.0", "~~~~", "}}}}", "    null",
        "\r\n\r\nGET / HTTP/1.1\r\n", "\n\n\n\n\xFF\xFF\xFF\xFF", "    \n1\n"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes) == Start::stranger);
    CHECK(judge_all(bytes) == Start::stranger);
  }
  CHECK(judge("null" + std::string(4, '\0')) == Start::stranger);
}

TEST_CASE("a stranger is one once there is enough to tell which answer it gets") {
  for (const std::string_view bytes : {"\r\n\r\nG", "\r\n\r\nGE", "\r\n\r\nGET"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes) == Start::undecided);
    CHECK(judge_all(bytes) == Start::stranger);
  }
  CHECK(judge("\r\n\r\nGET ") == Start::stranger);
  CHECK(judge("\r\n\r\nGE\n") == Start::stranger);
}

TEST_CASE("blanks decide nothing, and nothing but blanks is lines") {
  for (const std::string_view bytes : {"    ", "\t\t\t\t", "\r\n\r\n", "\n\n\n\n\n\n\n\n"}) {
    CHECK(judge(bytes) == Start::undecided);
    CHECK(judge_all(bytes) == Start::lines);
  }
  CHECK(judge(std::string(10'000, '\n')) == Start::undecided);
}

TEST_CASE("blanks can be dropped, but for four while nothing is decided") {
  CHECK(blanks_of("\n\n\n") == 0);
  CHECK(blanks_of("\n\n\n\n") == 0);
  CHECK(blanks_of("\n\n\n\n\n ") == 2);
  CHECK(blanks_of("\n\n\n\n\n GE") == 2);
  CHECK(blanks_of(" \r\n\t{}") == 4);
  CHECK(blanks_of("{} ") == 0);
  CHECK(blanks_of(four('\n', 0, 0, 0)) == 0);
}

TEST_CASE("a start is judged in the same way however it comes, and when its blanks were dropped") {
  for (const Framing expected : {Framing::unknown, Framing::length, Framing::lines}) {
    for (const std::string_view text :
         {"{}\n{}\n", " \n\n\n\n\n{\"in\":1}", "\n\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n", "nonsense\n",
          "\t\t\t\t\t\t1\n", "\x05\x01\x01\x01{}", "       \xFF\xFF\xFF\xFF"}) {
      CAPTURE(text);
      const Start whole = judge(text, expected);
      std::string kept;
      JudgedStart judged{Start::undecided};
      for (std::size_t i = 0; i < text.size() && judged.start == Start::undecided; ++i) {
        kept.push_back(text[i]);
        judged = judge_start(bytes_of(kept), expected, MoreBytes::may_follow);
        if (judged.start == Start::undecided) { kept.erase(0, judged.blanks); }
        if (judged.start == Start::undecided) { CHECK(kept.size() < 8); }
      }
      CHECK(judged.start == whole);
      if (whole == Start::stranger) { CHECK(answer_to(kept) == answer_to(text)); }
    }
  }
}

// By all that came.

TEST_CASE("fewer than four bytes that are all are a line if a newline is among them") {
  for (const std::string_view bytes : {"{}\n", "{\n", "[\r\n", "\n{\n", "\n", "\r\n", " \n "}) {
    CAPTURE(bytes);
    CHECK(judge_all(bytes) == Start::lines);
  }
  for (const std::string_view bytes : {"1\n", "G\r\n", "\n1"}) {
    CAPTURE(bytes);
    CHECK(judge_all(bytes) == Start::stranger);
  }
  for (const std::string_view bytes : {"", "{", "{}", " ", "GET", "\xFF\n", "\x05\x01\n"}) {
    CAPTURE(bytes);
    CHECK(judge_all(bytes) == Start::length);
  }
}

// With --framing.

TEST_CASE("where lines are expected, the first byte that is no blank decides at once") {
  for (const std::string_view bytes : {"{", "{}\n", "\n[", "  {", "{\x01\x01\x01"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes, Framing::lines) == Start::lines);
  }
  for (const std::string_view bytes : {"1\n", "null", "\x0E\x01\x01\x01{}", "\xFF\n", "GET "}) {
    CAPTURE(bytes);
    CHECK(judge(bytes, Framing::lines) == Start::stranger);
  }
  for (const std::string_view bytes : {"", "\n\n\n\n", "GE"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes, Framing::lines) == Start::undecided);
  }
  CHECK(judge_all("GE", Framing::lines) == Start::stranger);
  CHECK(judge_all("  ", Framing::lines) == Start::lines);
}

TEST_CASE("where lengths are expected, all else but HTTP is a length") {
  for (const std::string_view bytes :
       {"{}\n{", "[[[[", "    ", "null", "\r\nGET /", "\xFF\xFF\xFF\xFF"}) {
    CAPTURE(bytes);
    CHECK(judge(bytes, Framing::length) == Start::length);
  }
  CHECK(judge("GET / HTTP/1.1", Framing::length) == Start::stranger);
  CHECK(judge("PRI * HTTP/2.0", Framing::length) == Start::stranger);
  for (const std::string_view bytes : {"{}\n", "1\n", "\n", "GET"}) {
    CAPTURE(bytes);
    CHECK(judge_all(bytes, Framing::length) == Start::length);
  }
}

// The answer.

TEST_CASE("each method of HTTP is answered with a whole response of HTTP") {
  for (const std::string_view method : {"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH",
                                        "CONNECT", "TRACE", "PRI", "\r\n\r\nGET"}) {
    const std::string answer = answer_to(std::string(method) + " / HTTP/1.1\r\n");
    CAPTURE(answer);
    CHECK(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    const std::size_t end = answer.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    const std::string head = answer.substr(0, end + 2);
    const std::string body = answer.substr(end + 4);
    CHECK(head.find("\r\nContent-Type: text/plain\r\n") != std::string::npos);
    CHECK(head.find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(head.find("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") !=
          std::string::npos);
    CHECK(body.find('\n') == body.size() - 1);
    CHECK(body.find("rpc-call ADDR --list") != std::string::npos);
  }
}

TEST_CASE("anything else is answered with one line, an error that says how to call the port") {
  for (const std::string_view text : {"null", "GETTING", "get / HTTP/1.1", "1\n", "SSH-2.0\r\n"}) {
    const std::string answer = answer_to(text);
    CAPTURE(answer);
    REQUIRE(answer.find('\n') == answer.size() - 1);
    CHECK(answer.starts_with(R"({"out":"error","result":{"code":-32700,)"));
    CHECK(answer.find("rpc-call ADDR --list") != std::string::npos);
    CHECK(answer.find("handoff-wire(7)") != std::string::npos);
  }
}

}  // namespace
}  // namespace handoff
