// SPDX-License-Identifier: MIT
#include "pass/sources.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read: return O_RDONLY;
    case OpenMode::write: return O_WRONLY | O_CREAT;
    case OpenMode::append: return O_WRONLY | O_CREAT | O_APPEND;
    case OpenMode::read_write: return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

std::optional<int> parse_natural(std::string_view text) {
  const auto value = parse_number<int>(text);
  return value && *value >= 0 ? value : std::nullopt;
}

/// Throws. The error names `call` if the kernel lacks it. `name` is what was to be taken, as
/// PID:FD.
[[noreturn]] void fail_to_take(int error, std::string_view call, std::string_view name) {
  throw SystemError(error, error == ENOSYS ? fmt::format("use {} to take", call) : "take", name);
}

}  // namespace

Fd take_inherited(int number) {
  const int copy = fcntl(number, F_DUPFD_CLOEXEC, 3);
  if (copy < 0 && errno == EBADF) {
    throw InvalidArgument(fmt::format("cannot take descriptor {}: it is not open", number));
  }
  if (copy < 0) { throw SystemError(errno, "copy a descriptor"); }
  return Fd(copy);
}

Fd open_file(const std::string& path, OpenMode mode) {
  // With O_NOCTTY a terminal that is only sent on does not become the controlling terminal.
  const int fd =
      retry([&] { return open(path.c_str(), flags_of(mode) | O_CLOEXEC | O_NOCTTY, 0666); });
  if (fd < 0) { throw SystemError(errno, "open", path); }
  return Fd(fd);
}

void empty_file(const Fd& file, const std::string& path) {
  struct stat status {};
  if (fstat(file.get(), &status) != 0) { throw SystemError(errno, "look at", path); }
  if (!S_ISREG(status.st_mode)) { return; }
  if (retry([&] { return ftruncate(file.get(), 0); }) != 0) {
    throw SystemError(errno, "empty", path);
  }
}

Fd take_from_process(int pid, int number) {
  const std::string name = fmt::format("{}:{}", pid, number);
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) { fail_to_take(errno, "pidfd_open", name); }
  Fd taken(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  if (!taken.valid()) { fail_to_take(errno, "pidfd_getfd", name); }
  return taken;
}

int parse_process(std::string_view text) {
  const auto pid = parse_natural(text);
  if (!pid || *pid == 0) { throw InvalidArgument(fmt::format("{}: write PID, as in 1234", text)); }
  return *pid;
}

std::pair<int, int> parse_process_descriptor(std::string_view text) {
  const auto colon = text.find(':');
  const auto pid = parse_natural(text.substr(0, colon));
  const auto number =
      colon == std::string_view::npos ? std::nullopt : parse_natural(text.substr(colon + 1));
  if (!pid || *pid == 0 || !number) {
    throw InvalidArgument(fmt::format("{}: write PID:FD, as in 1234:5", text));
  }
  return {*pid, *number};
}

}  // namespace handoff
