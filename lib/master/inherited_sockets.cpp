// SPDX-License-Identifier: MIT
#include "master/inherited_sockets.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include <handoff/os/error.hpp>

#include "os/environment.hpp"
#include "os/parse_number.hpp"
#include "os/utf8.hpp"

namespace handoff {
namespace {

constexpr const char* kVariable = variable::kSuccession;

/// A path may be any bytes, but JSON holds only UTF-8: another path becomes an array of its bytes.
nlohmann::ordered_json address_to_json(const std::string& address) {
  if (is_utf8(address)) { return address; }
  const std::string_view bytes = address;
  return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
}

std::string address_from_json(const nlohmann::json& json) {
  if (json.is_string()) { return json.get<std::string>(); }
  const auto bytes = json.get<std::vector<std::uint8_t>>();
  return {bytes.begin(), bytes.end()};
}

/// Gives each descriptor the next number in the successor.
class Numbering {
 public:
  explicit Numbering(int first) : next_(first) {}

  int add(int fd) {
    descriptors_.emplace_back(fd, next_);
    return next_++;
  }
  nlohmann::ordered_json add(const Listener& listener) {
    nlohmann::ordered_json entry = {{"fd", add(listener.fd())},
                                    {"address", address_to_json(listener.text())}};
    if (listener.lock() >= 0) {
      entry["lock"] = add(listener.lock());
      entry["device"] = listener.file().device;
      entry["inode"] = listener.file().inode;
    }
    return entry;
  }
  std::vector<std::pair<int, int>> take() && { return std::move(descriptors_); }

 private:
  int next_;
  std::vector<std::pair<int, int>> descriptors_;
};

/// Returns the whole file whose descriptor has this number.
std::string read_file(std::string_view number) {
  const auto parsed = parse_number<int>(number);
  if (!parsed || *parsed <= STDERR_FILENO) {
    throw InvalidArgument(fmt::format("{} {}: not the number of a descriptor", kVariable, number));
  }
  const Fd file(*parsed);
  std::string text;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t size = retry([&] {
      return pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    });
    if (size < 0) { throw SystemError(errno, "read", fmt::format("{} {}", kVariable, number)); }
    if (size == 0) { return text; }
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

Listener adopt(const nlohmann::json& entry) {
  Fd listener(entry.at("fd").get<int>());
  std::string text = address_from_json(entry.at("address"));
  if (!entry.contains("lock")) { return Listener::adopt(std::move(listener), std::move(text)); }
  Fd lock(entry["lock"].get<int>());
  const FileIdentity file{entry.at("device").get<dev_t>(), entry.at("inode").get<ino_t>()};
  return Listener::adopt(std::move(listener), std::move(text), std::move(lock), file);
}

}  // namespace

EncodedSockets encode(const SocketsToInherit& sockets, int first) {
  Numbering numbers(first);
  nlohmann::ordered_json json = {{"channel", numbers.add(sockets.channel)},
                                 {"listeners", nlohmann::ordered_json::array()}};
  for (const Listener* listener : sockets.listeners) {
    json["listeners"].push_back(numbers.add(*listener));
  }
  if (sockets.join != nullptr) { json["join"] = numbers.add(*sockets.join); }
  if (sockets.control != nullptr) { json["control"] = numbers.add(*sockets.control); }
  if (sockets.status != nullptr) { json["status"] = numbers.add(*sockets.status); }
  if (sockets.pidfile >= 0) { json["pidfile"] = numbers.add(sockets.pidfile); }
  if (sockets.original >= 0) { json["original"] = numbers.add(sockets.original); }
  return {json.dump(), std::move(numbers).take()};
}

InheritedSockets decode_inherited(std::string_view text) {
  InheritedSockets inherited;
  try {
    const auto json = nlohmann::json::parse(text);
    inherited.channel = Fd(json.at("channel").get<int>());
    ServerSockets& sockets = inherited.sockets;
    for (const auto& entry : json.at("listeners")) { sockets.listeners.push_back(adopt(entry)); }
    if (json.contains("join")) { sockets.join.emplace(adopt(json["join"])); }
    if (json.contains("control")) { sockets.control.emplace(adopt(json["control"])); }
    if (json.contains("status")) { sockets.status.emplace(adopt(json["status"])); }
    if (json.contains("pidfile")) { inherited.pidfile = Fd(json["pidfile"].get<int>()); }
    if (json.contains("original")) { inherited.original = Fd(json["original"].get<int>()); }
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(fmt::format("{}: {}", kVariable, error.what()));
  }
  return inherited;
}

std::optional<InheritedSockets> take_inherited_sockets() {
  const auto number = read_variable(kVariable);
  if (!number) { return std::nullopt; }
  InheritedSockets inherited = decode_inherited(read_file(*number));
  remove_variable(kVariable);
  return inherited;
}

}  // namespace handoff
