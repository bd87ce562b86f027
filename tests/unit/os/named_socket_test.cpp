// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

mode_t mode_of(const std::string& path) {
  struct stat found {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

bool exists(const std::string& path) {
  return fs::exists(fs::symlink_status(path));
}

bool can_connect(const std::string& path) {
  const SocketAddress address = SocketAddress::unix_path(path);
  const Fd socket = make_socket(address);
  return connect(socket.get(), address.data(), address.size()) == 0;
}

Listener listen_at(const std::string& path, mode_t mode = 0600) {
  return listen_on(Address::parse(path), {.mode = mode});
}

int refusal(const std::string& path) {
  const auto error = test::thrown_by<SystemError>([&] { (void)listen_at(path); });
  CHECK(error.what() == "cannot listen on " + path + ": " + error_text(error.error_number()));
  return error.error_number();
}

/// A socket in the file system that nobody listens on any more.
void leave_stale_socket(const std::string& path) {
  const SocketAddress address = SocketAddress::unix_path(path);
  const Fd socket = make_socket(address);
  REQUIRE(bind(socket.get(), address.data(), address.size()) == 0);
  REQUIRE(listen(socket.get(), 1) == 0);
}

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { umask(before_); }

 private:
  mode_t before_;
};

TEST_CASE("a named socket is its owner's alone, whatever the umask") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{0777}}) {
    const Umask umask(mask);
    const Listener listener = listen_at(path);
    CHECK(mode_of(path) == 0600);
  }
}

TEST_CASE("a named socket gets exactly the mode that was asked for") {
  const test::TemporaryDirectory directory;
  const Umask umask(077);
  const Listener listener = listen_at(directory.path("s"), 0666);
  CHECK(mode_of(directory.path("s")) == 0666);
}

TEST_CASE("a named socket and its lock are removed with their listener") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  {
    Listener first = listen_at(path);
    CHECK(first.text() == path);
    CHECK(!first.is_abstract());
    std::optional<Listener> moved(std::move(first));
    CHECK(can_connect(path));
    CHECK(exists(path + ".lock"));
    CHECK(directory.entries() == 2);
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a listener that was moved from removes nothing") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  std::optional<Listener> first(listen_at(path));
  const Listener second(std::move(*first));
  first.reset();
  CHECK(can_connect(path));
  CHECK(exists(path + ".lock"));
}

TEST_CASE("a symlink in the way is refused and left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  leave_stale_socket(directory.path("target"));
  fs::create_symlink(directory.path("target"), path);
  CHECK(refusal(path) == ELOOP);
  CHECK(fs::is_symlink(path));
  CHECK(exists(directory.path("target")));
}

TEST_CASE("a symlink to nothing is refused too") {
  const test::TemporaryDirectory directory;
  fs::create_symlink(directory.path("nothing"), directory.path("s"));
  CHECK(refusal(directory.path("s")) == ELOOP);
  CHECK(!exists(directory.path("nothing")));
}

TEST_CASE("a symlink in the place of the lock is refused") {
  const test::TemporaryDirectory directory;
  fs::create_symlink(directory.path("nothing"), directory.path("s.lock"));
  CHECK(test::thrown_by<SystemError>([&] {
          (void)listen_at(directory.path("s"));
        }).error_number() == ELOOP);
  CHECK(!exists(directory.path("nothing")));
}

TEST_CASE("a file or a directory in the way is refused and left alone") {
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("file"), "precious");
  CHECK(refusal(directory.path("file")) == EEXIST);
  CHECK(test::read_file(directory.path("file")) == "precious");

  fs::create_directory(directory.path("folder"));
  CHECK(refusal(directory.path("folder")) == EEXIST);
  CHECK(fs::is_directory(directory.path("folder")));
}

TEST_CASE("a refused path leaves nothing behind") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("file"), "precious");
  CHECK(refusal(directory.path("file")) == EEXIST);
  CHECK(directory.entries() == 1);
}

TEST_CASE("a path in a directory that does not exist is refused") {
  const test::TemporaryDirectory directory;
  CHECK(test::thrown_by<SystemError>([&] {
          (void)listen_at(directory.path("none/s"));
        }).error_number() == ENOENT);
}

TEST_CASE("a stale socket is replaced, also when its owner left a lock file") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  leave_stale_socket(path);
  test::write_file(path + ".lock", "");
  REQUIRE(chmod((path + ".lock").c_str(), 0600) == 0);
  REQUIRE(!can_connect(path));
  {
    const Listener listener = listen_at(path);
    CHECK(can_connect(path));
    CHECK(mode_of(path) == 0600);
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a path that has a live owner is refused, and goes on working") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  {
    const Listener owner = listen_at(path);
    CHECK(refusal(path) == EADDRINUSE);
    CHECK(refusal(path) == EADDRINUSE);
    CHECK(can_connect(path));
    CHECK(directory.entries() == 2);
  }
  CHECK_NOTHROW((void)listen_at(path));
}

TEST_CASE("of several that start at once, one owns the path") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  constexpr int kStarters = 4;
  for (int round = 0; round < 50; ++round) {
    std::vector<std::optional<Listener>> listeners(kStarters);
    std::atomic<int> refused = 0;
    {
      std::barrier start(kStarters);
      std::vector<std::jthread> starters;
      for (auto& listener : listeners) {
        starters.emplace_back([&] {
          start.arrive_and_wait();
          try {
            listener.emplace(listen_at(path));
          } catch (const SystemError& error) {
            refused += error.error_number() == EADDRINUSE ? 1 : 0;
          }
        });
      }
    }
    REQUIRE(refused == kStarters - 1);
    REQUIRE(can_connect(path));
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("of those that start while an owner leaves, one at a time owns the path") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  std::atomic<int> owners = 0;
  std::atomic<int> most = 0;
  std::atomic<int> unreachable = 0;
  {
    std::vector<std::jthread> starters;
    for (int starter = 0; starter < 3; ++starter) {
      starters.emplace_back([&] {
        for (int round = 0; round < 3000; ++round) {
          try {
            const Listener listener = listen_at(path);
            if (++owners > most) { most = owners.load(); }
            unreachable += can_connect(path) ? 0 : 1;
            --owners;
          } catch (const SystemError&) { continue; }
        }
      });
    }
  }
  CHECK(most == 1);
  CHECK(unreachable == 0);
}

TEST_CASE("a path of the greatest length can be listened on") {
  const test::TemporaryDirectory directory;
  const std::string start = directory.path("");
  const std::string path = start + std::string(103 - start.size(), 'p');
  const Listener listener = listen_at(path);
  CHECK(can_connect(path));
  CHECK_THROWS_AS(listen_at(path + "p"), InvalidArgument);
}

}  // namespace
}  // namespace handoff
