// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/handover.hpp>

namespace handoff::handover {
namespace {

using std::operator""s;

struct Outcome {
  Decoded decoded;
  Message message;
};

Outcome decoded(std::string_view bytes, std::size_t count) {
  // On the heap by itself, so that a memory checker sees a read past its end.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  Outcome outcome{};
  outcome.decoded = decode({exact.data(), exact.size()}, count, outcome.message);
  return outcome;
}

Decoded result_of(std::string_view bytes, std::size_t count) {
  return decoded(bytes, count).decoded;
}

TEST_CASE("a message starts with a mark, a version, flags and a count, then has the names") {
  CHECK(encode({{"in", "log"}, true}) == "HOFD\1\1\2\0\2in\3log"s);
  CHECK(encode({{""}, false}) == "HOFD\1\0\1\0\0"s);
  CHECK(encode({std::vector<std::string>(253), false}) ==
        "HOFD\1\0\xFD\0"s + std::string(253, '\0'));
}

TEST_CASE("what was encoded is decoded") {
  const std::vector<std::vector<std::string>> lists = {
      {""}, {"a"}, {"a", ""}, {"", "", "last"}, std::vector<std::string>(253, "x")};
  for (const auto& names : lists) {
    for (const bool confirm : {false, true}) {
      const Outcome outcome = decoded(encode({names, confirm}), names.size());
      CHECK(outcome.decoded == Decoded::complete);
      CHECK(outcome.message.names == names);
      CHECK(outcome.message.confirm == confirm);
    }
  }
}

TEST_CASE("the most and the longest names fit in the greatest message, exactly") {
  const std::vector<std::string> names(253, std::string(kMaxName, '~'));
  const std::string bytes = encode({names, true});
  CHECK(bytes.size() == kMaxMessage);
  CHECK(kMaxMessage == 64'776);
  const Outcome outcome = decoded(bytes, 253);
  CHECK(outcome.decoded == Decoded::complete);
  CHECK(outcome.message.names == names);
}

TEST_CASE("a single byte of any value is plain, and asks for nothing") {
  for (int value = 0; value < 256; ++value) {
    const Outcome outcome = decoded(std::string(1, static_cast<char>(value)), 2);
    CHECK(outcome.decoded == Decoded::complete);
    CHECK(outcome.message.names == std::vector<std::string>(2));
    CHECK(!outcome.message.confirm);
  }
}

TEST_CASE("bytes that do not begin like a header are plain, whatever they are") {
  for (const auto& bytes : {""s, "hello"s, "\0\0"s, "HX"s, "HOFE\1\0\1\0\0"s, "hofd\1\0\1\0\0"s,
                            " HOFD"s, std::string(100'000, 'x')}) {
    const Outcome outcome = decoded(bytes, 1);
    CHECK(outcome.decoded == Decoded::complete);
    CHECK(outcome.message.names == std::vector<std::string>{""});
    CHECK(!outcome.message.confirm);
  }
}

TEST_CASE("every beginning of a message but its first byte is partial") {
  const std::string bytes = encode({{"first", "", "third"}, true});
  for (std::size_t size = 2; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK(result_of(bytes.substr(0, size), 3) == Decoded::partial);
  }
}

TEST_CASE("a partial message is complete once the rest has come") {
  const std::string bytes = encode({{"name"}, false});
  Message message;
  CHECK(decode(bytes.substr(0, 10), 1, message) == Decoded::partial);
  CHECK(decode(bytes, 1, message) == Decoded::complete);
  CHECK(message.names == std::vector<std::string>{"name"});
}

TEST_CASE("what an earlier message left behind does not show") {
  Message message{{"old", "older"}, true};
  CHECK(decode("\0"s, 1, message) == Decoded::complete);
  CHECK(message.names == std::vector<std::string>{""});
  CHECK(!message.confirm);
}

TEST_CASE("another version, an unknown flag and another count are invalid") {
  CHECK(result_of("HOFD\0\0\1\0\0"s, 1) == Decoded::invalid);
  CHECK(result_of("HOFD\2\0\1\0\0"s, 1) == Decoded::invalid);
  CHECK(result_of("HOFD\1\2\1\0\0"s, 1) == Decoded::invalid);
  CHECK(result_of("HOFD\1\xFF\1\0\0"s, 1) == Decoded::invalid);
  CHECK(result_of("HOFD\1\0\1\0\0"s, 2) == Decoded::invalid);
  CHECK(result_of("HOFD\1\0\1\0\0"s, 0) == Decoded::invalid);
  CHECK(result_of("HOFD\1\0\1\1\0"s, 1) == Decoded::invalid);
  CHECK(result_of("HOFD\1\0\xFF\xFF\0"s, 1) == Decoded::invalid);
}

TEST_CASE("bytes behind the last name are invalid") {
  CHECK(result_of(encode({{"name"}, false}) + "x", 1) == Decoded::invalid);
  CHECK(result_of(encode({{""}, false}) + encode({{""}, false}), 1) == Decoded::invalid);
}

TEST_CASE("a name with a colon, a space or what is not printable ASCII is invalid") {
  for (int value = 0; value < 256; ++value) {
    CAPTURE(value);
    const char letter = static_cast<char>(value);
    const bool is_good = value > 0x20 && value < 0x7F && letter != ':';
    const std::string name = "a"s + letter;
    CHECK(result_of(encode({{name}, false}), 1) ==
          (is_good ? Decoded::complete : Decoded::invalid));
    if (is_good) {
      CHECK_NOTHROW(check_name(name));
    } else {
      CHECK_THROWS_AS(check_name(name), InvalidArgument);
    }
  }
}

TEST_CASE("a name that a user gives has 1 to 255 bytes, and an error says so") {
  CHECK_NOTHROW(check_name("a"));
  CHECK_NOTHROW(check_name(std::string(255, 'a')));
  CHECK_THROWS_AS(check_name(std::string(256, 'a')), InvalidArgument);
  CHECK_THROWS_AS(check_name(""), InvalidArgument);
  CHECK_THROWS_WITH(check_name("a:b"),
                    "a:b: write 1 to 255 printable characters, no space and no colon");
}

}  // namespace
}  // namespace handoff::handover
