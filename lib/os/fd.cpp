// SPDX-License-Identifier: MIT
#include "os/fd.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

/// The fall-back of close_descriptors(), which finds the open descriptors in /proc. It does not use
/// readdir(3), which allocates.
bool close_listed_descriptors(unsigned first, unsigned last) {
  const int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) { return false; }
  alignas(dirent64) char entries[4096];
  long size = 0;
  while ((size = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
    for (long offset = 0; offset < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries + offset);
      offset += entry->d_reclen;
      const int number = parse_number<int>(entry->d_name).value_or(-1);  // "." and ".." are none
      if (number < 0 || number == folder) { continue; }
      if (const auto open = static_cast<unsigned>(number); open >= first && open <= last) {
        ::close(number);
      }
    }
  }
  const int error = errno;
  ::close(folder);
  errno = error;
  return size == 0;
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
  // Linux closes the descriptor even if close(2) reports EINTR; a second call could close one that
  // another thread has just opened.
  if (number_ >= 0) { ::close(std::exchange(number_, -1)); }
}

Fd Fd::duplicate() const {
  return handoff::duplicate(number_);
}

Fd duplicate(int number) {
  const int copy = fcntl(number, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) { throw SystemError(errno, "duplicate a descriptor"); }
  return Fd(copy);
}

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) { throw SystemError(errno, "create a pipe"); }
  return {Fd(ends[0]), Fd(ends[1])};
}

void set_nonblocking(int number) {
  const int flags = fcntl(number, F_GETFL);
  if (flags < 0 || fcntl(number, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw SystemError(errno, "set O_NONBLOCK");
  }
}

void set_blocking(int number) {
  const int flags = fcntl(number, F_GETFL);
  if (flags < 0 || fcntl(number, F_SETFL, flags & ~O_NONBLOCK) < 0) {
    throw SystemError(errno, "clear O_NONBLOCK");
  }
}

bool is_open(int number) {
  return fcntl(number, F_GETFD) >= 0;
}

bool close_descriptors(unsigned first, unsigned last) {
  if (syscall(SYS_close_range, first, last, 0) == 0) { return true; }
  return close_listed_descriptors(first, last);
}

void set_close_on_exec(int number) {
  if (fcntl(number, F_SETFD, FD_CLOEXEC) < 0) { throw SystemError(errno, "set close-on-exec"); }
}

void clear_close_on_exec(int number) {
  if (fcntl(number, F_SETFD, 0) < 0) { throw SystemError(errno, "clear close-on-exec"); }
}

}  // namespace handoff
