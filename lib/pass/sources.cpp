// SPDX-License-Identifier: MIT
#include "pass/sources.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "os/error.hpp"

namespace handoff {
namespace {

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read: return O_RDONLY;
    case OpenMode::write: return O_WRONLY | O_CREAT | O_TRUNC;
    case OpenMode::append: return O_WRONLY | O_CREAT | O_APPEND;
    case OpenMode::read_write: return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

std::optional<int> parse_natural(std::string_view text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

Fd take_inherited(int number) {
  const int copy = fcntl(number, F_DUPFD_CLOEXEC, 3);
  if (copy < 0 && errno == EBADF) {
    throw InvalidArgument(fmt::format("descriptor, on {}: it is not open", number));
  }
  if (copy < 0) throw SystemError(errno, "copy a descriptor");
  return Fd(copy);
}

Fd open_file(const std::string& path, OpenMode mode) {
  // O_NOCTTY: a terminal that is sent on does not become ours.
  const int fd =
      retry([&] { return open(path.c_str(), flags_of(mode) | O_CLOEXEC | O_NOCTTY, 0666); });
  if (fd < 0) throw SystemError(errno, "open", path);
  return Fd(fd);
}

Fd take_from_process(int pid, int number) {
  const std::string name = fmt::format("{}:{}", pid, number);
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) throw SystemError(errno, "take", name);
  Fd taken(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  if (!taken.valid()) throw SystemError(errno, "take", name);
  return taken;
}

std::pair<int, int> parse_process_descriptor(std::string_view text) {
  const auto colon = text.find(':');
  const auto pid = parse_natural(text.substr(0, colon));
  const auto number =
      colon == std::string_view::npos ? std::nullopt : parse_natural(text.substr(colon + 1));
  if (!pid || *pid == 0 || !number) {
    throw InvalidArgument(fmt::format("process, on {}: write PID:FD, as in 1234:5", text));
  }
  return {*pid, *number};
}

}  // namespace handoff
