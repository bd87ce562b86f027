// SPDX-License-Identifier: MIT
#include "pass/channel.hpp"

#include <cassert>
#include <cstring>

#include "wire/bytes.hpp"

namespace handoff::channel {
namespace {

constexpr std::string_view kMagic = "HO";

/// Little-endian integers, appended.
class Writer {
 public:
  Writer(Type type, std::size_t count, std::uint16_t flags = 0) {
    bytes_.append(kMagic);
    number<std::uint8_t>(kVersion);
    number(static_cast<std::uint8_t>(type));
    number(static_cast<std::uint16_t>(count));
    number(flags);
  }
  template <typename Number>
  void number(Number value) {
    append_little_endian(bytes_, value);
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
    if (bytes.empty()) return 0;
    return load_little_endian<Number>(
        std::span<const char, sizeof(Number)>(bytes.data(), sizeof(Number)));
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

constexpr std::size_t kEntrySize = 16;

/// Flag of HELLO.
constexpr std::uint16_t kAnswers = 1;

/// Flags of DRAIN.
constexpr std::uint16_t kGiveBack = 1;
constexpr std::uint16_t kJoinAgain = 2;

/// Flags of an entry.
constexpr std::uint8_t kJsonRpc = 1;
constexpr std::uint8_t kAside = 2;

void write_entry(Writer& writer, const Entry& entry) {
  const bool aside = entry.aside > 0;
  writer.number(entry.id);
  writer.number(static_cast<std::uint16_t>(entry.peer.size()));
  writer.number(static_cast<std::uint8_t>(entry.framing));
  writer.number(static_cast<std::uint8_t>((entry.dialect == Dialect::json_rpc ? kJsonRpc : 0) |
                                          (aside ? kAside : 0)));
  writer.number(static_cast<std::uint32_t>(aside ? entry.aside : entry.read.size()));
  writer.text({reinterpret_cast<const char*>(entry.peer.data()), entry.peer.size()});
  if (!aside) writer.text(entry.read);
}

/// False when a value is none that there is.
bool read_entry(Reader& reader, Entry& entry) {
  entry.id = reader.number<std::uint64_t>();
  const auto peer_size = reader.number<std::uint16_t>();
  const auto framing = reader.number<std::uint8_t>();
  const auto flags = reader.number<std::uint8_t>();
  const auto size = reader.number<std::uint32_t>();
  const std::string_view peer = reader.text(peer_size);
  if (!peer.empty()) {
    sockaddr_storage storage{};
    std::memcpy(&storage, peer.data(), std::min(peer.size(), sizeof storage));
    entry.peer = SocketAddress(reinterpret_cast<const sockaddr*>(&storage),
                               static_cast<socklen_t>(peer.size()));
  }
  entry.framing = static_cast<Framing>(framing);
  entry.dialect = (flags & kJsonRpc) != 0 ? Dialect::json_rpc : Dialect::article;
  if ((flags & kAside) == 0) {
    entry.read = reader.text(size);
  } else {
    entry.aside = size;
  }
  return framing <= static_cast<std::uint8_t>(Framing::lines) && flags <= (kJsonRpc | kAside) &&
         entry.aside <= kMaxAside && ((flags & kAside) == 0 || size > 0);
}

}  // namespace

std::string encode_hello(const Hello& hello) {
  Writer writer(Type::hello, 0, hello.answers ? kAnswers : 0);
  writer.number(hello.pid);
  writer.number(hello.credits);
  writer.number(hello.calls);
  return writer.take();
}

std::string encode_ready() {
  return Writer(Type::ready, 0).take();
}

std::string encode_drain(Drain drain) {
  const int flags = (drain.give_back ? kGiveBack : 0) | (drain.join_again ? kJoinAgain : 0);
  return Writer(Type::drain, 0, static_cast<std::uint16_t>(flags)).take();
}

std::string encode_leave() {
  return Writer(Type::leave, 0).take();
}

std::string encode_requests(std::uint64_t count) {
  Writer writer(Type::requests, 0);
  writer.number(count);
  return writer.take();
}

std::string encode_passing(Type type, std::size_t descriptors) {
  return Writer(type, descriptors).take();
}

std::size_t size_of(const Entry& entry) {
  return kEntrySize + entry.peer.size() + (entry.aside > 0 ? 0 : entry.read.size());
}

std::string encode_entries(Type type, std::span<const Entry> entries) {
  assert(!entries.empty() && entries.size() <= kMaxEntries);
  Writer writer(type, entries.size());
  for (const Entry& entry : entries) write_entry(writer, entry);
  return writer.take();
}

std::string encode_ids(Type type, std::span<const std::uint64_t> ids) {
  Writer writer(type, ids.size());
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
  const auto flags = reader.number<std::uint16_t>();
  if (message.type == Type::hello) {
    message.hello.version = version;
    message.hello.pid = reader.number<std::uint32_t>();
    message.hello.credits = reader.number<std::uint32_t>();
    if (version != kVersion) return message;
    message.hello.calls = reader.number<std::uint32_t>();
    message.hello.answers = (flags & kAnswers) != 0;
  }
  if (version != kVersion) return std::nullopt;
  switch (message.type) {
    case Type::hello:
    case Type::ready:
    case Type::leave: break;
    case Type::drain: message.drain = {(flags & kGiveBack) != 0, (flags & kJoinAgain) != 0}; break;
    case Type::connection:
    case Type::returned:
      if (count == 0 || count > kMaxEntries) return std::nullopt;
      message.entries.resize(count);
      for (Entry& entry : message.entries) {
        if (!read_entry(reader, entry)) return std::nullopt;
      }
      break;
    case Type::started:
    case Type::refused:
    case Type::finished:
      if (count == 0 || packet.size() != kHeaderSize + count * sizeof(std::uint64_t)) {
        return std::nullopt;
      }
      for (std::size_t i = 0; i < count; ++i) {
        message.ids.push_back(reader.number<std::uint64_t>());
      }
      break;
    case Type::listener:
    case Type::queue:
      if (count > kMaxEntries) return std::nullopt;
      message.descriptors = count;
      break;
    case Type::requests: message.requests = reader.number<std::uint64_t>(); break;
    default: return std::nullopt;
  }
  if (!reader.ok_at_end()) return std::nullopt;
  return message;
}

}  // namespace handoff::channel
