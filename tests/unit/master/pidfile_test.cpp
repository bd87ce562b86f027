// SPDX-License-Identifier: MIT
#include "master/pidfile.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

const std::string kOurs = std::to_string(getpid()) + "\n";

/// Why it can't be written; a look says it too if `seen_early`. Nothing has changed then.
std::string refusal(const test::TemporaryDirectory& directory, const std::string& path,
                    bool seen_early = true) {
  const std::size_t before = directory.entries();
  Pidfile pidfile(path);
  const std::string why = test::thrown_by<SystemError>([&] { pidfile.write(); }).what();
  if (seen_early) {
    CHECK(test::thrown_by<SystemError>([&] { pidfile.check(); }).what() == why);
  } else {
    CHECK_NOTHROW(pidfile.check());
  }
  CHECK(directory.entries() == before);
  return why;
}

std::string sentence(const std::string& path, const std::string& why) {
  return "cannot write the pidfile " + path + ": " + why;
}

TEST_CASE("a pidfile has our number until the end") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  {
    Pidfile pidfile(path);
    pidfile.check();
    CHECK(directory.entries() == 0);
    CHECK(pidfile.fd() == -1);
    pidfile.write();
    CHECK(test::read_file(path) == kOurs);
    CHECK(directory.entries() == 1);
    CHECK(pidfile.names(getpid()));
    CHECK(!pidfile.names(getpid() + 1));
    CHECK(test::closes_on_exec(pidfile.fd()));
  }
  CHECK(directory.entries() == 0);
}

TEST_CASE("what is no regular file is not replaced by a pidfile") {
  const test::TemporaryDirectory directory;
  const std::string fifo = directory.path("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(refusal(directory, fifo) == sentence(fifo, fifo + " is not a regular file"));
  CHECK(fs::is_fifo(fifo));

  const std::string link = directory.path("link");
  fs::create_symlink("/dev/full", link);
  CHECK(refusal(directory, link) == sentence(link, link + " is not a regular file"));
  CHECK(fs::is_symlink(link));

  const std::string folder = directory.path("folder");
  fs::create_directory(folder);
  CHECK(refusal(directory, folder) == sentence(folder, folder + " is not a regular file"));
}

TEST_CASE("a file with another text is not replaced by a pidfile") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("notes");
  test::write_file(path, "12 eggs\n");
  CHECK(refusal(directory, path) ==
        sentence(path, path + " is no pidfile (remove it if nothing needs it)"));
  CHECK(test::read_file(path) == "12 eggs\n");
}

TEST_CASE("a file where the pidfile is made is an error, and left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  const std::string beside = path + ".new";
  test::write_file(beside, "precious");
  CHECK(refusal(directory, path) ==
        sentence(path, beside + " is no pidfile (remove it if nothing needs it)"));
  CHECK(test::read_file(beside) == "precious");

  fs::remove(beside);
  fs::create_symlink(directory.path("nothing"), beside);
  CHECK(refusal(directory, path) == sentence(path, beside + " is not a regular file"));
  CHECK(fs::is_symlink(beside));
}

TEST_CASE("what a process that was killed has left is replaced") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  for (const char* text : {"1\n", "4194304\n", "", "77"}) {
    test::write_file(path, text);
    test::write_file(path + ".new", text);
    {
      Pidfile pidfile(path);
      pidfile.check();
      pidfile.write();
      CHECK(test::read_file(path) == kOurs);
      CHECK(directory.entries() == 1);
    }
    CHECK(directory.entries() == 0);
  }
}

TEST_CASE("a pidfile of a process that runs is left alone, unless that is about to end") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  std::optional<Pidfile> first(std::in_place, path);
  first->write();
  CHECK(refusal(directory, path) ==
        sentence(path, path + " is that of a process that runs (stop that first, or name another "
                              "file)"));
  // A stranger can read the file, and still not say that it is in use.
  first->unlock();
  const Fd stranger(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_RDLCK;
  REQUIRE(fcntl(stranger.get(), F_OFD_SETLK, &lock) == 0);
  Pidfile second(path);
  second.write();
  first.reset();
  CHECK(test::read_file(path) == kOurs);
}

TEST_CASE("a successor replaces the pidfile of its predecessor, and that one can take it back") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  Pidfile predecessor(path);
  predecessor.write();
  const auto before = identity_of_name(path);
  {
    Pidfile successor(path, duplicate(predecessor.fd()));
    successor.check();
    successor.write();
    CHECK(identity_of_name(path) != before);
  }
  // This is what a successor leaves that is killed.
  test::write_file(path, "123456789\n");
  REQUIRE(predecessor.names(123456789));
  predecessor.write();
  CHECK(predecessor.names(getpid()));
  predecessor.write();
  CHECK(directory.entries() == 1);
}

TEST_CASE("a pidfile that another has written since is left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  SUBCASE("in its place") {
    {
      Pidfile pidfile(path);
      pidfile.write();
      fs::remove(path);
      test::write_file(path, kOurs);
    }
    CHECK(test::read_file(path) == kOurs);
  }
  SUBCASE("into the same file") {
    {
      Pidfile pidfile(path);
      pidfile.write();
      test::write_file(path, "1\n");
    }
    CHECK(test::read_file(path) == "1\n");
  }
}

TEST_CASE("a pidfile that can't be written changes nothing") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("pid");
  CHECK(refusal(directory, directory.path("none/pid")) ==
        sentence(directory.path("none/pid"), error_text(ENOENT)));
  test::write_file(path, "1\n");
  std::string why;
  {
    const test::FileSizeLimit full(0);
    why = refusal(directory, path, false);
  }
  CHECK(why == sentence(path, error_text(EFBIG)));
  CHECK(test::read_file(path) == "1\n");
}

}  // namespace
}  // namespace handoff
