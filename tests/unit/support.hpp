// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#include <handoff/os/fd.hpp>

/// What the unit tests share.
namespace handoff::test {

/// The longest that any test waits for what must happen; nothing waits for this long in a run
/// that passes.
inline constexpr int kPatienceMs = 10'000;

inline std::size_t open_descriptors() {
  const std::filesystem::directory_iterator entries("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

/// The number that the next descriptor gets. With a limit of so many more, at most so many more can
/// be opened.
inline std::size_t next_descriptor() {
  const Fd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(next.valid());
  return static_cast<std::size_t>(next.get());
}

/// Checks that as many descriptors are open when it goes as were when it came. Make it first.
class DescriptorCheck {
 public:
  DescriptorCheck() : before_(open_descriptors()) {}
  DescriptorCheck(const DescriptorCheck&) = delete;
  DescriptorCheck& operator=(const DescriptorCheck&) = delete;
  ~DescriptorCheck() { CHECK(open_descriptors() == before_); }

 private:
  std::size_t before_;
};

/// Sets the soft limit of descriptor numbers for as long as it lives. With 0 none can be opened;
/// those that are open stay so. Check results after its end: the sanitizers need descriptors to
/// look at what a failed check prints.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(std::size_t limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit lowered = before_;
    lowered.rlim_cur = limit;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &lowered) == 0);
  }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// Files may have so many bytes for as long as it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t limit) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit lowered = before_;
    lowered.rlim_cur = limit;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_("/tmp/handoff-test-XXXXXX") {
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::size_t entries() const {
    const std::filesystem::directory_iterator entries(path_);
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, std::string_view text) {
  std::ofstream(path) << text;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline bool is_open(int number) {
  return fcntl(number, F_GETFD) != -1;
}

inline bool closes_on_exec(int number) {
  return (fcntl(number, F_GETFD) & FD_CLOEXEC) != 0;
}

inline bool is_nonblocking(int number) {
  return (fcntl(number, F_GETFL) & O_NONBLOCK) != 0;
}

/// Whether two descriptors lead to the same file, pipe or socket.
inline bool same_file(int left, int right) {
  struct stat first {};
  struct stat second {};
  return fstat(left, &first) == 0 && fstat(right, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

inline bool becomes_readable(int number) {
  pollfd poll_fd{number, POLLIN, 0};
  return poll(&poll_fd, 1, kPatienceMs) == 1;
}

/// All that comes until the other end closes.
inline std::string read_until_end(int number) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    REQUIRE(becomes_readable(number));
    const ssize_t size = read(number, buffer.data(), buffer.size());
    if (size <= 0) { return text; }
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

/// Writes few enough bytes that the call neither blocks nor is cut short.
inline void write_text(int number, std::string_view text) {
  REQUIRE(write(number, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

/// The exception that `call` throws, which must be of this type.
template <typename Exception, typename Call>
Exception thrown_by(Call call) {
  try {
    call();
  } catch (const Exception& error) { return error; }
  throw std::runtime_error("nothing was thrown");
}

}  // namespace handoff::test
