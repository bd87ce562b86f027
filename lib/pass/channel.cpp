// SPDX-License-Identifier: MIT
#include "pass/channel.hpp"

#include <cassert>
#include <cstring>

namespace handoff::channel {
namespace {

constexpr std::string_view kMagic = "HO";

/// Little-endian integers, appended.
class Writer {
 public:
  Writer(Type type, std::size_t count) {
    bytes_.append(kMagic);
    number<std::uint8_t>(kVersion);
    number(static_cast<std::uint8_t>(type));
    number(static_cast<std::uint16_t>(count));
    number<std::uint16_t>(0);
  }
  template <typename Number>
  void number(Number value) {
    for (std::size_t i = 0; i < sizeof value; ++i) {
      bytes_.push_back(static_cast<char>(value >> (8 * i)));
    }
  }
  void text(std::string_view bytes) { bytes_.append(bytes); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// The reverse. Reading past the end gives zeros and leaves `ok` false.
class Reader {
 public:
  explicit Reader(std::span<const char> bytes) : rest_(bytes.data(), bytes.size()) {}
  template <typename Number>
  Number number() {
    const std::string_view bytes = text(sizeof(Number));
    Number value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value = static_cast<Number>(
          value | (static_cast<Number>(static_cast<unsigned char>(bytes[i])) << (8 * i)));
    }
    return value;
  }
  std::string_view text(std::size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  bool ok_at_end() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

void write_entry(Writer& writer, const Entry& entry) {
  writer.number(entry.id);
  writer.number(static_cast<std::uint16_t>(entry.peer.size()));
  writer.number<std::uint16_t>(0);  // framing and dialect, once they are told apart
  writer.number(static_cast<std::uint32_t>(entry.read.size()));
  writer.text({reinterpret_cast<const char*>(entry.peer.data()), entry.peer.size()});
  writer.text(entry.read);
}

Entry read_entry(Reader& reader) {
  Entry entry;
  entry.id = reader.number<std::uint64_t>();
  const auto peer_size = reader.number<std::uint16_t>();
  reader.number<std::uint16_t>();
  const auto read_size = reader.number<std::uint32_t>();
  const std::string_view peer = reader.text(peer_size);
  if (!peer.empty()) {
    sockaddr_storage storage{};
    std::memcpy(&storage, peer.data(), std::min(peer.size(), sizeof storage));
    entry.peer = SocketAddress(reinterpret_cast<const sockaddr*>(&storage),
                               static_cast<socklen_t>(peer.size()));
  }
  entry.read = reader.text(read_size);
  return entry;
}

}  // namespace

std::string encode_hello(const Hello& hello) {
  Writer writer(Type::hello, 0);
  writer.number(hello.pid);
  writer.number(hello.credits);
  return writer.take();
}

std::string encode_ready() {
  return Writer(Type::ready, 0).take();
}

std::string encode_drain() {
  return Writer(Type::drain, 0).take();
}

std::string encode_connections(std::span<const Entry> entries) {
  assert(!entries.empty() && entries.size() <= kMaxEntries);
  Writer writer(Type::connection, entries.size());
  for (const Entry& entry : entries) write_entry(writer, entry);
  return writer.take();
}

std::string encode_finished(std::span<const std::uint64_t> ids) {
  Writer writer(Type::finished, ids.size());
  for (const std::uint64_t id : ids) writer.number(id);
  return writer.take();
}

std::optional<Message> decode(std::span<const char> packet) {
  if (packet.size() > kMaxMessage) return std::nullopt;
  Reader reader(packet);
  if (reader.text(kMagic.size()) != kMagic) return std::nullopt;
  const auto version = reader.number<std::uint8_t>();
  Message message;
  message.type = static_cast<Type>(reader.number<std::uint8_t>());
  const auto count = reader.number<std::uint16_t>();
  reader.number<std::uint16_t>();
  if (message.type == Type::hello) {
    message.hello.version = version;
    message.hello.pid = reader.number<std::uint32_t>();
    message.hello.credits = reader.number<std::uint32_t>();
    if (version != kVersion) return message;
  }
  if (version != kVersion) return std::nullopt;
  switch (message.type) {
    case Type::hello:
    case Type::ready:
    case Type::drain: break;
    case Type::connection:
      if (count == 0 || count > kMaxEntries) return std::nullopt;
      for (std::size_t i = 0; i < count; ++i) message.entries.push_back(read_entry(reader));
      break;
    case Type::finished:
      if (count == 0) return std::nullopt;
      for (std::size_t i = 0; i < count; ++i) {
        message.ids.push_back(reader.number<std::uint64_t>());
      }
      break;
    default: return std::nullopt;
  }
  if (!reader.ok_at_end()) return std::nullopt;
  return message;
}

}  // namespace handoff::channel
