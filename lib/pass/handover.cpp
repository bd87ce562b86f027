// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include <handoff/os/error.hpp>
#include <handoff/pass/handover.hpp>

#include "wire/bytes.hpp"

namespace handoff::handover {
namespace {

constexpr std::string_view kMagic = "HOFD";
constexpr std::size_t kHeaderSize = 8;
constexpr std::uint8_t kConfirmFlag = 1;

bool is_valid_name(std::string_view name) {
  return name.size() <= kMaxName && std::all_of(name.begin(), name.end(), [](char letter) {
           return letter > ' ' && letter <= '~' && letter != ':';
         });
}

}  // namespace

std::string encode(const Message& message) {
  std::string bytes(kMagic);
  bytes.push_back(static_cast<char>(kVersion));
  bytes.push_back(static_cast<char>(message.confirm ? kConfirmFlag : 0));
  append_little_endian(bytes, static_cast<std::uint16_t>(message.names.size()));
  for (const std::string& name : message.names) {
    bytes.push_back(static_cast<char>(name.size()));
    bytes.append(name);
  }
  return bytes;
}

Decoded decode(std::string_view bytes, std::size_t count, Message& message) {
  message = {};
  message.names.resize(count);
  const bool is_plain = bytes.size() < 2 || !bytes.starts_with(kMagic.substr(0, bytes.size()));
  if (is_plain) { return Decoded::complete; }
  if (bytes.size() < kHeaderSize) { return Decoded::partial; }
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  const auto names =
      load_little_endian<std::uint16_t>(std::span<const char, 2>(bytes.data() + 6, 2));
  if (byte(4) != kVersion || byte(5) > kConfirmFlag || names != count) { return Decoded::invalid; }
  message.form = Form::header;
  message.confirm = byte(5) == kConfirmFlag;
  std::size_t at = kHeaderSize;
  for (std::string& name : message.names) {
    if (at >= bytes.size()) { return Decoded::partial; }
    const std::size_t size = byte(at);
    if (bytes.size() - at - 1 < size) { return Decoded::partial; }
    name = bytes.substr(at + 1, size);
    if (!is_valid_name(name)) { return Decoded::invalid; }
    at += 1 + size;
  }
  return at == bytes.size() ? Decoded::complete : Decoded::invalid;
}

void check_name(std::string_view name) {
  if (!name.empty() && is_valid_name(name)) { return; }
  throw InvalidArgument(fmt::format("{}: write 1 to {} printable characters, no space and no colon",
                                    name.empty() ? "''" : name, kMaxName));
}

}  // namespace handoff::handover
