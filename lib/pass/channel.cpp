// SPDX-License-Identifier: MIT
#include "pass/channel.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "wire/bytes.hpp"

namespace handoff::channel {
namespace {

constexpr std::string_view kMagic = "HO";

/// The offset of the count in a message; its second byte is 0 in a message of connections.
constexpr std::size_t kCountOffset = 4;
static_assert(kMaxEntries < 256);

/// Appends little-endian integers and texts.
class Writer {
 public:
  Writer(Type type, std::size_t count, std::uint16_t flags = 0) {
    bytes_.append(kMagic);
    number<std::uint8_t>(kVersion);
    number(static_cast<std::uint8_t>(type));
    number(static_cast<std::uint16_t>(count));
    number(flags);
  }
  /// Continues after these bytes.
  explicit Writer(std::string bytes) : bytes_(std::move(bytes)) {}
  template <typename Number>
  void number(Number value) {
    append_little_endian(bytes_, value);
  }
  void text(std::string_view bytes) { bytes_.append(bytes); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what a Writer has written. Reading past the end returns zeros and empty texts, and
/// ok_at_end() is false then.
class Reader {
 public:
  explicit Reader(std::span<const char> bytes) : rest_(bytes.data(), bytes.size()) {}
  template <typename Number>
  Number number() {
    const std::string_view bytes = text(sizeof(Number));
    if (bytes.empty()) { return 0; }
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

/// The flags of HELLO.
constexpr std::uint16_t kAnswers = 1;
constexpr std::uint16_t kWantsLedger = 2;
constexpr std::uint16_t kTakesLameDuck = 4;
constexpr std::uint16_t kCountsMethods = 8;

/// The position of the number of threads in the flags of HELLO, as the exponent of a power of two.
constexpr unsigned kThreadsShift = 8;
constexpr std::uint32_t kMaxThreadsExponent = 10;

/// The flags of DRAIN.
constexpr std::uint16_t kGiveBack = 1;
constexpr std::uint16_t kJoinAgain = 2;

/// The flags of an entry.
constexpr std::uint8_t kJsonRpc = 1;
constexpr std::uint8_t kSpilled = 2;
constexpr std::uint8_t kOwed = 4;
constexpr std::uint8_t kWantsStarted = 8;

/// The bytes that hold the length of a reply that is owed.
constexpr std::size_t kOwedSize = 2;

std::size_t size_of(const Connection& connection) {
  return kEntrySize + connection.peer.size() +
         (connection.spilled_size > 0 ? 0 : connection.unread.size()) +
         (connection.owed.empty() ? 0 : kOwedSize + connection.owed.size());
}

/// Returns whether the socket travels with the connection. The master has a copy of one that it
/// keeps.
bool has_socket(Type type, const Connection& connection) {
  return type != Type::returned || (connection.id & kKeptId) == 0;
}

void write_entry(Writer& writer, const Connection& connection) {
  const bool spilled = connection.spilled_size > 0;
  writer.number(connection.id);
  writer.number(static_cast<std::uint16_t>(connection.peer.size()));
  writer.number(static_cast<std::uint8_t>(connection.framing));
  writer.number(static_cast<std::uint8_t>(
      (connection.dialect == Dialect::json_rpc ? kJsonRpc : 0) | (spilled ? kSpilled : 0) |
      (connection.owed.empty() ? 0 : kOwed) | (connection.wants_started ? kWantsStarted : 0)));
  writer.number(static_cast<std::uint32_t>(connection.unread_size()));
  writer.text({reinterpret_cast<const char*>(connection.peer.data()), connection.peer.size()});
  if (!spilled) { writer.text(connection.unread); }
  if (connection.owed.empty()) { return; }
  writer.number(static_cast<std::uint16_t>(connection.owed.size()));
  writer.text(connection.owed);
}

/// Returns false if a value of the entry is not allowed.
bool read_entry(Reader& reader, Type type, Connection& connection) {
  connection.id = reader.number<std::uint64_t>();
  const auto peer_size = reader.number<std::uint16_t>();
  const auto framing = reader.number<std::uint8_t>();
  const auto flags = reader.number<std::uint8_t>();
  const auto size = reader.number<std::uint32_t>();
  const std::string_view peer = reader.text(peer_size);
  if (!peer.empty()) {
    sockaddr_storage storage{};
    std::memcpy(&storage, peer.data(), std::min(peer.size(), sizeof storage));
    connection.peer = SocketAddress(reinterpret_cast<const sockaddr*>(&storage),
                                    static_cast<socklen_t>(peer.size()));
  }
  connection.framing = static_cast<Framing>(framing);
  connection.dialect = (flags & kJsonRpc) != 0 ? Dialect::json_rpc : Dialect::article;
  if ((flags & kSpilled) == 0) {
    connection.unread = reader.text(size);
  } else {
    connection.spilled_size = size;
  }
  connection.wants_started = (flags & kWantsStarted) != 0;
  if ((flags & kOwed) != 0) {
    connection.owed = reader.text(reader.number<std::uint16_t>());
    if (connection.owed.empty() || connection.owed.size() > kMaxOwed) { return false; }
  }
  const std::uint8_t known =
      kJsonRpc | kSpilled | (type == Type::connection ? kOwed | kWantsStarted : 0);
  return framing <= static_cast<std::uint8_t>(Framing::lines) && (flags & ~known) == 0 &&
         connection.spilled_size <= kMaxSpilled && ((flags & kSpilled) == 0 || size > 0);
}

/// Moves the descriptors of the connections from the front of `descriptors` to them.
void distribute(Type type, std::vector<Fd>& descriptors, std::vector<Connection>& connections) {
  auto next = descriptors.begin();
  const auto take = [&] { return next == descriptors.end() ? Fd() : std::move(*next++); };
  for (Connection& connection : connections) {
    if (has_socket(type, connection)) { connection.socket = take(); }
    if (connection.spilled_size > 0) { connection.spilled = take(); }
  }
  descriptors.erase(descriptors.begin(), next);
}

}  // namespace

std::string encode_hello(const Hello& hello) {
  int flags = (hello.answers ? kAnswers : 0) | (hello.takes_lame_duck ? kTakesLameDuck : 0);
  if (hello.wants_ledger) {
    flags |= kWantsLedger | std::bit_width(hello.threads - 1) << kThreadsShift;
    if (hello.counts_methods) { flags |= kCountsMethods; }
  }
  Writer writer(Type::hello, 0, static_cast<std::uint16_t>(flags));
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

std::string encode_lame_duck() {
  return Writer(Type::lame_duck, 0).take();
}

std::string encode_requests(std::uint64_t count) {
  Writer writer(Type::requests, 0);
  writer.number(count);
  return writer.take();
}

std::string encode_passing(Type type, std::size_t descriptors) {
  return Writer(type, descriptors).take();
}

PackedConnections::PackedConnections(Type type) : type_(type), bytes_(Writer(type, 0).take()) {}

bool PackedConnections::add(const Connection& connection) {
  if (count_ == kMaxEntries || bytes_.size() + size_of(connection) > kMaxMessage) { return false; }
  Writer writer(std::move(bytes_));
  write_entry(writer, connection);
  bytes_ = writer.take();
  bytes_[kCountOffset] = static_cast<char>(++count_);
  if (has_socket(type_, connection)) {
    descriptors_[descriptor_count_++] = connection.socket.get();
  }
  if (connection.spilled_size > 0) { descriptors_[descriptor_count_++] = connection.spilled.get(); }
  return true;
}

std::string encode_ids(Type type, std::span<const std::uint64_t> ids) {
  Writer writer(type, ids.size());
  for (const std::uint64_t id : ids) { writer.number(id); }
  return writer.take();
}

std::optional<Message> decode(std::span<const char> packet, std::vector<Fd> descriptors) {
  if (packet.size() > kMaxMessage) { return std::nullopt; }
  Reader reader(packet);
  if (reader.text(kMagic.size()) != kMagic) { return std::nullopt; }
  const auto version = reader.number<std::uint8_t>();
  Message message;
  message.type = static_cast<Type>(reader.number<std::uint8_t>());
  const auto count = reader.number<std::uint16_t>();
  const auto flags = reader.number<std::uint16_t>();
  if (message.type == Type::hello) {
    message.hello.version = version;
    message.hello.pid = reader.number<std::uint32_t>();
    message.hello.credits = reader.number<std::uint32_t>();
    if (version != kVersion) {
      message.descriptors = std::move(descriptors);
      return message;
    }
    message.hello.calls = reader.number<std::uint32_t>();
    message.hello.answers = (flags & kAnswers) != 0;
    message.hello.takes_lame_duck = (flags & kTakesLameDuck) != 0;
    message.hello.wants_ledger = (flags & kWantsLedger) != 0;
    if (message.hello.wants_ledger) {
      message.hello.threads =
          1U << std::min(std::uint32_t{flags} >> kThreadsShift, kMaxThreadsExponent);
      message.hello.counts_methods = (flags & kCountsMethods) != 0;
    }
  }
  if (version != kVersion) { return std::nullopt; }
  switch (message.type) {
    case Type::hello:
    case Type::ready:
    case Type::lame_duck:
    case Type::leave: break;
    case Type::drain: message.drain = {(flags & kGiveBack) != 0, (flags & kJoinAgain) != 0}; break;
    case Type::connection:
    case Type::returned:
    case Type::deposit:
      if (count == 0 || count > kMaxEntries) { return std::nullopt; }
      message.connections.resize(count);
      for (Connection& connection : message.connections) {
        if (!read_entry(reader, message.type, connection)) { return std::nullopt; }
      }
      distribute(message.type, descriptors, message.connections);
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
    case Type::ledger:
      if (count > kMaxEntries) { return std::nullopt; }
      message.announced = count;
      break;
    case Type::requests: message.requests = reader.number<std::uint64_t>(); break;
    default: return std::nullopt;
  }
  if (!reader.ok_at_end()) { return std::nullopt; }
  message.descriptors = std::move(descriptors);
  return message;
}

}  // namespace handoff::channel
