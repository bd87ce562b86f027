// SPDX-License-Identifier: MIT
#include "pass/connection.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "os/error.hpp"
#include "os/sealed_memory.hpp"
#include "os/socket.hpp"
#include "pass/channel.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// The unit of stat::st_blocks, in bytes (stat(3type)).
constexpr std::size_t kBlock = 512;

std::string read_file(int file, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = retry(
        [&] { return pread(file, bytes.data() + done, size - done, static_cast<off_t>(done)); });
    if (count < 0) { throw SystemError(errno, "read the bytes of a connection"); }
    if (count == 0) {
      throw ProtocolError("cannot read the channel: bytes of a connection are missing");
    }
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

/// Returns false also for a file that cannot be sealed and a number that is no descriptor: fcntl(2)
/// returns -1.
bool can_not_shrink(int file) {
  const int seals = fcntl(file, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

/// A sparse file costs its sender nothing, but its reader memory for all of its bytes.
bool holds(int file, std::size_t size) {
  struct stat status {};
  return fstat(file, &status) == 0 && status.st_size >= static_cast<off_t>(size) &&
         status.st_blocks >= static_cast<blkcnt_t>(size / kBlock);
}

}  // namespace

void Connection::spill_to_memfd() {
  if (unread.size() <= channel::kMaxUnread) { return; }
  spilled = make_sealed_file("read", unread);
  spilled_size = unread.size();
  std::string().swap(unread);
}

void Connection::load_spilled(std::size_t most) {
  if (unread_size() > most) {
    throw ProtocolError(fmt::format(
        "cannot read the channel: {} bytes were read from a connection, which may be {} at most "
        "(raise --max-frame)",
        unread_size(), most));
  }
  if (spilled_size == 0) { return; }
  unread = read_file(spilled.get(), spilled_size);
  spilled.reset();
  spilled_size = 0;
}

std::size_t Connection::descriptors() const {
  return (socket.valid() ? 1U : 0U) + (spilled.valid() ? 1U : 0U);
}

bool Connection::is_complete() const {
  return socket.valid() && (spilled_size == 0 || spilled.valid());
}

bool Connection::is_sound() const {
  if (!socket.valid() || socket_type(socket.get()) != SOCK_STREAM) { return false; }
  return spilled_size == 0 || (can_not_shrink(spilled.get()) && holds(spilled.get(), spilled_size));
}

}  // namespace handoff
