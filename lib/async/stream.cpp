// SPDX-License-Identifier: MIT
#include "async/stream.hpp"

#include <climits>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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
    case ENOTSOCK: throw SystemError(error, attempt);  // a bug of ours
    default: return {IoResult::Outcome::broken, 0, error};
  }
}

/// The outcome of a connect under way on `socket`: 0 or an errno.
int pending_error(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return errno;
  return error;
}

Fd try_make_socket(const SocketAddress& target, int type, int& error) {
  try {
    return make_socket(target, type);
  } catch (const SystemError& failed) {
    error = failed.error_number();
    return {};
  }
}

Connection run_command(const Address& address) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  SpawnOptions options;
  options.argv = {"sh", "-c", address.name};
  options.environment = inherited_environment();
  options.descriptors = {{theirs.get(), 0}, {theirs.get(), 1}, {STDERR_FILENO, 2}};
  options.new_group = false;  // ^C ends it with us, and it may ask for a password
  return {std::move(ours), spawn(options)};
}

/// 0 or an errno; ETIMEDOUT also for our own deadline, which `expired` tells apart.
Task<int> connect_one(Reactor& reactor, const Fd& socket, const SocketAddress& target,
                      TimePoint deadline, bool& expired) {
  for (;;) {
    if (retry([&] { return connect(socket.get(), target.data(), target.size()); }) == 0) {
      co_return 0;
    }
    if (errno == EINPROGRESS) break;
    // A Unix listener's backlog is full: there is no event for a place in it.
    if (errno != EAGAIN) co_return errno;
    const TimePoint again = reactor.now() + std::chrono::milliseconds(10);
    if (again > deadline) {
      expired = true;
      co_return ETIMEDOUT;
    }
    co_await reactor.sleep_until(again);
  }
  Readiness readiness(reactor, socket.get());
  Deadline limit(readiness, deadline);
  expired = !co_await readiness.writable();
  co_return expired ? ETIMEDOUT : pending_error(socket.get());
}

}  // namespace

Stream::Kind Stream::kind_of(int fd) {
  return socket_type(fd) ? Kind::socket : Kind::shared;
}

IoResult Stream::try_read(std::span<char> buffer) {
  if (kind_ == Kind::shared && !is_ready(fd(), POLLIN)) return {IoResult::Outcome::would_block};
  const ssize_t size = retry([&] {
    return kind_ == Kind::socket ? recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT)
                                 : read(fd(), buffer.data(), buffer.size());
  });
  if (size > 0) return {IoResult::Outcome::done, static_cast<std::size_t>(size)};
  if (size == 0) return {IoResult::Outcome::end};
  return failure(errno, "read");
}

IoResult Stream::try_write(std::string_view bytes) {
  if (kind_ == Kind::shared) {
    // After POLLOUT a pipe has room for PIPE_BUF bytes, so that this does not block.
    if (!is_ready(fd(), POLLOUT)) return {IoResult::Outcome::would_block};
    bytes = bytes.substr(0, PIPE_BUF);
  }
  const ssize_t size = retry([&] {
    return kind_ == Kind::socket
               ? send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
               : write(fd(), bytes.data(), bytes.size());
  });
  if (size >= 0) return {IoResult::Outcome::done, static_cast<std::size_t>(size)};
  return failure(errno, "write");
}

Task<IoResult> Stream::read_some(std::span<char> buffer) {
  for (;;) {
    const IoResult result = try_read(buffer);
    if (result.outcome != IoResult::Outcome::would_block) co_return result;
    if (!co_await readable()) co_return result;
  }
}

Task<IoResult> Stream::write_all(std::string_view bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const IoResult result = try_write(bytes.substr(written));
    written += result.size;
    if (result.outcome == IoResult::Outcome::broken) co_return result;
    if (result.outcome == IoResult::Outcome::would_block && !co_await writable()) {
      co_return result;
    }
  }
  co_return IoResult{IoResult::Outcome::done, written};
}

void Stream::end_writing() {
  shutdown(fd(), SHUT_WR);
}

Task<Connection> connect_to(Reactor& reactor, const Address& address, TimePoint deadline,
                            int type) {
  if (address.kind == Address::Kind::inherited) co_return Connection{Fd(address.number), {}};
  if (address.kind == Address::Kind::exec) co_return run_command(address);
  int error = 0;
  for (const SocketAddress& target : address.resolve()) {
    bool expired = false;
    Fd socket = try_make_socket(target, type, error);
    if (!socket.valid()) continue;  // a host without IPv6, say
    error = co_await connect_one(reactor, socket, target, deadline, expired);
    if (error == 0) co_return Connection{std::move(socket), {}};
    if (error == EADDRNOTAVAIL && is_out_of_local_ports(target)) throw NoLocalPort(address.text);
    if (expired) throw TimedOut(fmt::format("connect, on {}: timed out", address.text));
  }
  throw Unreachable(fmt::format("connect, on {}: {}", address.text, error_text(error)));
}

}  // namespace handoff
