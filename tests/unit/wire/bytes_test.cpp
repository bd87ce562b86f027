// SPDX-License-Identifier: MIT
#include "wire/bytes.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace handoff {
namespace {

template <typename Number>
std::string written(Number value) {
  std::string out;
  append_little_endian(out, value);
  return out;
}

template <typename Number>
Number read(std::string_view bytes) {
  REQUIRE(bytes.size() == sizeof(Number));
  return load_little_endian<Number>(
      std::span<const char, sizeof(Number)>(bytes.data(), sizeof(Number)));
}

TEST_CASE("an integer is written with its least byte first") {
  CHECK(written(std::uint8_t{0xFE}) == "\xFE");
  CHECK(written(std::uint16_t{0x0201}) == "\1\2");
  CHECK(written(std::uint32_t{0x04030201}) == "\1\2\3\4");
  CHECK(written(std::uint32_t{0xFFFEFD80}) == "\x80\xFD\xFE\xFF");
  CHECK(written(std::uint64_t{0x0807060504030201}) == "\1\2\3\4\5\6\7\10");
}

TEST_CASE("an integer is read as unsigned bytes, least first") {
  CHECK(read<std::uint8_t>("\xFE") == 0xFE);
  CHECK(read<std::uint16_t>("\x80\xFF") == 0xFF80);
  CHECK(read<std::uint32_t>("\x80\xFD\xFE\xFF") == 0xFFFEFD80);
  CHECK(read<std::uint64_t>("\xFF\1\2\3\4\5\6\x80") == 0x80060504030201FF);
}

TEST_CASE("an integer is written to its place, and to no byte beside it") {
  std::array<char, 6> bytes{};
  bytes.fill('x');
  store_little_endian<std::uint32_t>(std::span(bytes).subspan<1, 4>(), 0x80000001);
  CHECK(std::string_view(bytes.data(), bytes.size()) == std::string_view("x\1\0\0\x80x", 6));
}

TEST_CASE("each integer is read as it was written") {
  for (std::uint64_t value = 1; value != 0; value <<= 1U) {
    for (const std::uint64_t near : {value - 1, value, ~value}) {
      CHECK(read<std::uint64_t>(written(near)) == near);
      const auto half = static_cast<std::uint32_t>(near);
      CHECK(read<std::uint32_t>(written(half)) == half);
      const auto quarter = static_cast<std::uint16_t>(near);
      CHECK(read<std::uint16_t>(written(quarter)) == quarter);
    }
  }
}

}  // namespace
}  // namespace handoff
