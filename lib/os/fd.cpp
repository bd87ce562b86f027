// SPDX-License-Identifier: MIT
#include "os/fd.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/error.hpp"

namespace handoff {
namespace {

rlimit read_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    number_ = std::exchange(other.number_, -1);
  }
  return *this;
}

void Fd::reset() {
  // Linux closes the descriptor even when close reports EINTR; repeating it could close
  // somebody else's.
  if (number_ >= 0) ::close(std::exchange(number_, -1));
}

Fd Fd::duplicate() const {
  return handoff::duplicate(number_);
}

Fd duplicate(int number) {
  const int copy = fcntl(number, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw SystemError(errno, "duplicate a descriptor");
  return Fd(copy);
}

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) throw SystemError(errno, "pipe");
  return {Fd(ends[0]), Fd(ends[1])};
}

void set_nonblocking(int number, bool on) {
  const int flags = fcntl(number, F_GETFL);
  if (flags < 0 || fcntl(number, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) {
    throw SystemError(errno, "set O_NONBLOCK");
  }
}

bool is_open(int number) {
  return fcntl(number, F_GETFD) >= 0;
}

void set_close_on_exec(int number, bool on) {
  if (fcntl(number, F_SETFD, on ? FD_CLOEXEC : 0) < 0) {
    throw SystemError(errno, "set close-on-exec");
  }
}

std::size_t original_descriptor_limit() {
  static const rlim_t original = read_limit().rlim_cur;
  return original;
}

std::size_t descriptor_limit() {
  return read_limit().rlim_cur;
}

std::size_t raise_descriptor_limit() {
  const std::size_t original = original_descriptor_limit();
  rlimit limit = read_limit();
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return original;
}

}  // namespace handoff
