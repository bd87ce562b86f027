// SPDX-License-Identifier: MIT
#include "rpc/work.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/error.hpp"
#include "os/memory.hpp"
#include "os/socket.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// The unit of stat::st_blocks.
constexpr std::size_t kBlock = 512;

}  // namespace

void Work::put_aside() {
  if (read.size() <= channel::kMaxRead) return;
  aside = make_sealed_file("read", read);
  aside_size = read.size();
  std::string().swap(read);
}

Work Work::from(LiveConnection connection) {
  Work work;
  work.id = connection.id;
  work.peer = peer_address(connection.socket.get());
  work.connection = std::move(connection.socket);
  work.read = std::move(connection.read);
  work.framing = connection.framing;
  work.dialect = connection.dialect;
  return work;
}

LiveConnection Work::to_connection(std::size_t most) {
  if (unread() > most) {
    throw ProtocolError(fmt::format(
        "cannot read the channel: {} bytes were read from a connection, which may be {} at most "
        "(raise --max-frame)",
        unread(), most));
  }
  LiveConnection live;
  live.id = id;
  live.framing = framing;
  live.dialect = dialect;
  live.read = take_read();
  live.socket = std::move(connection);
  return live;
}

channel::Entry Work::entry() const {
  return {id, peer, read, aside_size, framing, dialect};
}

Work Work::from(const channel::Entry& entry, std::vector<Fd>& descriptors, std::size_t& next) {
  const auto take = [&] {
    return next < descriptors.size() ? std::move(descriptors[next++]) : Fd();
  };
  Work work;
  work.id = entry.id;
  work.connection = take();
  work.peer = entry.peer;
  work.read = entry.read;
  if (entry.aside > 0) work.aside = take();
  work.aside_size = entry.aside;
  work.framing = entry.framing;
  work.dialect = entry.dialect;
  return work;
}

/// What a file has no memory for costs its sender nothing, and the one who reads it all of it.
bool Work::is_sound() const {
  if (!connection.valid() || socket_type(connection.get()) != SOCK_STREAM) return false;
  if (aside_size == 0) return true;
  struct stat file {};
  return aside.valid() && fstat(aside.get(), &file) == 0 &&
         file.st_size >= static_cast<off_t>(aside_size) &&
         file.st_blocks >= static_cast<blkcnt_t>(aside_size / kBlock) &&
         (fcntl(aside.get(), F_GET_SEALS) & F_SEAL_SHRINK) != 0;
}

std::string Work::take_read() {
  if (aside_size == 0) return std::move(read);
  std::string bytes(aside_size, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = retry([&] {
      return pread(aside.get(), bytes.data() + size, bytes.size() - size, static_cast<off_t>(size));
    });
    if (count < 0) throw SystemError(errno, "read the bytes of a connection");
    if (count == 0)
      throw ProtocolError("cannot read the channel: bytes of a connection are missing");
    size += static_cast<std::size_t>(count);
  }
  aside.reset();
  aside_size = 0;
  return bytes;
}

}  // namespace handoff
