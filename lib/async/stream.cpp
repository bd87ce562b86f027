// SPDX-License-Identifier: MIT
#include "async/stream.hpp"

#include <climits>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

bool is_ready(int fd, short event) {
  pollfd poll_fd{fd, event, 0};
  return poll(&poll_fd, 1, 0) > 0;
}

IoResult failure(int error, std::string_view attempt) {
  switch (error) {
    case EAGAIN: return {IoResult::Outcome::would_block};
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK: throw SystemError(error, attempt);  // these say that the caller has a bug
    default: return {IoResult::Outcome::broken, 0, error};
  }
}

}  // namespace

Stream::Kind Stream::kind_of(int fd) {
  return socket_type(fd) ? Kind::socket : Kind::shared;
}

IoResult Stream::try_read(std::span<char> buffer) {
  if (kind_ == Kind::shared && !is_ready(fd(), POLLIN)) { return {IoResult::Outcome::would_block}; }
  const ssize_t size = retry([&] {
    return kind_ == Kind::socket ? recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT)
                                 : read(fd(), buffer.data(), buffer.size());
  });
  if (size > 0) { return {IoResult::Outcome::done, static_cast<std::size_t>(size)}; }
  if (size == 0) { return {IoResult::Outcome::end}; }
  return failure(errno, "read");
}

IoResult Stream::try_write(std::string_view bytes) {
  if (kind_ == Kind::shared) {
    // After POLLOUT a pipe has room for PIPE_BUF bytes, so that this write does not block.
    if (!is_ready(fd(), POLLOUT)) { return {IoResult::Outcome::would_block}; }
    bytes = bytes.substr(0, PIPE_BUF);
  }
  const ssize_t size = retry([&] {
    return kind_ == Kind::socket
               ? send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
               : write(fd(), bytes.data(), bytes.size());
  });
  if (size >= 0) { return {IoResult::Outcome::done, static_cast<std::size_t>(size)}; }
  return failure(errno, "write");
}

bool Stream::is_at_end() const {
  char byte = 0;
  return recv(fd(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) == 0;
}

Task<IoResult> Stream::read_some(std::span<char> buffer) {
  for (;;) {
    const IoResult result = try_read(buffer);
    if (result.outcome != IoResult::Outcome::would_block) { co_return result; }
    if (!co_await readable()) { co_return result; }
  }
}

Task<IoResult> Stream::write_all(std::string_view bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const IoResult result = try_write(bytes.substr(written));
    written += result.size;
    if (result.outcome == IoResult::Outcome::broken) { co_return result; }
    if (result.outcome == IoResult::Outcome::would_block && !co_await writable()) {
      co_return result;
    }
  }
  co_return IoResult{IoResult::Outcome::done, written};
}

void Stream::end_writing() {
  shutdown(fd(), SHUT_WR);
}

}  // namespace handoff
