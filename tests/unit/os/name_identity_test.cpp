// SPDX-License-Identifier: MIT
// A listener's names in a folder that other processes, and other users, write to as well.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include <handoff/os/error.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

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

/// The error number of a refusal, which leaves `entries` files in the folder.
int refusal(const test::TemporaryDirectory& directory, const std::string& path) {
  const std::size_t before = directory.entries();
  const auto error = test::thrown_by<SystemError>([&] { (void)listen_at(path); });
  CHECK(directory.entries() == before);
  CHECK(std::string(error.what()).find(path) != std::string::npos);
  return error.error_number();
}

/// A socket that another program has bound there. It listens.
Fd bind_foreign(const std::string& path, int type = SOCK_STREAM) {
  const SocketAddress address = SocketAddress::unix_path(path);
  Fd socket = make_socket(address, type);
  REQUIRE(bind(socket.get(), address.data(), address.size()) == 0);
  if (type != SOCK_DGRAM) { REQUIRE(listen(socket.get(), 8) == 0); }
  return socket;
}

ino_t inode_of(const std::string& path) {
  struct stat found {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_ino;
}

TEST_CASE("a socket and a lock that another has made since are left alone") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  std::optional<Listener> first(listen_at(path));
  fs::remove(path);
  fs::remove(path + ".lock");
  const Listener second = listen_at(path);
  first.reset();
  CHECK(can_connect(path));
  CHECK(exists(path + ".lock"));
}

TEST_CASE("a file that has taken the place of the socket is left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  {
    const Listener listener = listen_at(path);
    fs::remove(path);
    test::write_file(path, "precious");
  }
  CHECK(test::read_file(path) == "precious");
  CHECK(!exists(path + ".lock"));
}

TEST_CASE("a lock that was removed does not make the name of a live server free") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  const Listener owner = listen_at(path);
  fs::remove(path + ".lock");
  const ino_t inode = inode_of(path);
  CHECK(refusal(directory, path) == EADDRINUSE);
  CHECK(inode_of(path) == inode);
  // Nor has the look at it used up the listener.
  CHECK(try_accept(owner.fd()).outcome == Accepted::Outcome::would_block);
  CHECK(can_connect(path));
}

TEST_CASE("the name of a live server without a lock is not free, whatever its type") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    CAPTURE(type);
    const test::TemporaryDirectory directory;
    const std::string path = directory.path("s");
    const Fd server = bind_foreign(path, type);
    const ino_t inode = inode_of(path);
    CHECK(refusal(directory, path) == EADDRINUSE);
    CHECK(inode_of(path) == inode);
  }
}

TEST_CASE("a lock file of another program is an error, and left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  const std::string lock = path + ".lock";
  test::write_file(lock, "precious");
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(test::read_file(lock) == "precious");
  REQUIRE(chmod(lock.c_str(), 0600) == 0);
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(test::read_file(lock) == "precious");

  // An empty one may be another program's lock.
  fs::remove(lock);
  test::write_file(lock, "");
  REQUIRE(chmod(lock.c_str(), 0644) == 0);
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(exists(lock));

  fs::remove(lock);
  REQUIRE(mkfifo(lock.c_str(), 0600) == 0);
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(fs::is_fifo(lock));
}

TEST_CASE("a file where the socket is made is an error, and left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  const std::string beside = path + ".new";
  test::write_file(beside, "precious");
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(test::read_file(beside) == "precious");

  fs::remove(beside);
  fs::create_symlink(directory.path("nothing"), beside);
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(fs::is_symlink(beside));

  fs::remove(beside);
  const Fd server = bind_foreign(beside);
  CHECK(refusal(directory, path) == EEXIST);
  CHECK(can_connect(beside));
}

TEST_CASE("a stale socket where the socket is made is replaced") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  (void)bind_foreign(path + ".new");
  {
    const Listener listener = listen_at(path);
    CHECK(can_connect(path));
    CHECK(directory.entries() == 2);
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a symlink that is put where the socket is made has no file's mode changed") {
  const test::TemporaryDirectory directory;
  const test::TemporaryDirectory elsewhere;
  const std::string path = directory.path("s");
  const std::string victim = elsewhere.path("victim");
  test::write_file(victim, "precious");
  REQUIRE(chmod(victim.c_str(), 0600) == 0);
  std::atomic<bool> over = false;
  std::jthread owner_of_the_folder([&] {
    const std::string link = elsewhere.path("link");
    while (!over) {
      (void)symlink(victim.c_str(), link.c_str());
      if (exists(path + ".new")) { (void)rename(link.c_str(), (path + ".new").c_str()); }
    }
  });
  for (int round = 0; round < 3000; ++round) {
    try {
      (void)listen_at(path, 0666);
    } catch (const SystemError&) {
      std::error_code ignored;
      fs::remove(path + ".new", ignored);
      fs::remove(path, ignored);
    }
  }
  over = true;
  owner_of_the_folder.join();
  struct stat found {};
  REQUIRE(lstat(victim.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777U) == 0600U);
}

TEST_CASE("a failed start leaves nothing behind") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  for (std::size_t spare = 0; spare < 4; ++spare) {
    CAPTURE(spare);
    {
      const Fd lowest(open("/dev/null", O_RDONLY | O_CLOEXEC));
      const auto limit = static_cast<std::size_t>(lowest.get()) + 1 + spare;
      const test::DescriptorLimit few(limit);
      try {
        (void)listen_at(path, 0666);
      } catch (const SystemError&) { continue; }
    }
    CHECK(directory.entries() == 0);
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a listener that is healed does not take the place of another") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  Listener first = listen_at(path);
  fs::remove(path);
  fs::remove(path + ".lock");
  const Listener second = listen_at(path);
  const ino_t inode = inode_of(path);
  REQUIRE(shutdown(first.fd(), SHUT_RDWR) == 0);
  CHECK(test::thrown_by<SystemError>([&] { (void)first.heal(); }).error_number() == EADDRINUSE);
  CHECK(inode_of(path) == inode);
}

}  // namespace
}  // namespace handoff
