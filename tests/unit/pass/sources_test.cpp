// SPDX-License-Identifier: MIT
#include "pass/sources.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

/// What an option's modes make of a file that holds "before".
std::string after_writing(OpenMode mode, std::string_view text) {
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("f"), "before");
  const Fd file = open_file(directory.path("f"), mode);
  test::write_text(file.get(), text);
  return test::read_file(directory.path("f"));
}

int access_mode(const Fd& fd) {
  return fcntl(fd.get(), F_GETFL) & O_ACCMODE;
}

TEST_CASE("an inherited descriptor is copied, close-on-exec and out of the way") {
  const test::DescriptorCheck check;
  const auto [read_end, write_end] = make_pipe();
  const Fd copy = take_inherited(read_end.get());
  CHECK(copy.get() > 2);
  CHECK(copy.get() != read_end.get());
  CHECK(test::same_file(copy.get(), read_end.get()));
  CHECK(test::closes_on_exec(copy.get()));
}

TEST_CASE("an inherited descriptor and its flags stay as they were") {
  const auto [read_end, write_end] = make_pipe();
  clear_close_on_exec(read_end.get());
  const int before = fcntl(read_end.get(), F_GETFL);
  take_inherited(read_end.get()).reset();
  CHECK(test::is_open(read_end.get()));
  CHECK(!test::closes_on_exec(read_end.get()));
  CHECK(fcntl(read_end.get(), F_GETFL) == before);
}

TEST_CASE("a descriptor that is not open is a user's mistake") {
  for (const int number : {-1, 400}) { CHECK_THROWS_AS(take_inherited(number), InvalidArgument); }
  CHECK_THROWS_WITH(take_inherited(400), "cannot take descriptor 400: it is not open");
}

TEST_CASE("a descriptor that can't be copied is a failure") {
  int error = 0;
  {
    const test::DescriptorLimit limit(3);
    try {
      take_inherited(0);
    } catch (const SystemError& caught) { error = caught.error_number(); }
  }
  // The lowest number that is allowed is the limit already.
  CHECK((error == EMFILE || error == EINVAL));
}

TEST_CASE("a file is opened for reading, and not made") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("f"), "text");
  const Fd file = open_file(directory.path("f"), OpenMode::read);
  CHECK(access_mode(file) == O_RDONLY);
  CHECK(test::closes_on_exec(file.get()));
  CHECK(test::read_until_end(file.get()) == "text");
  const auto error = test::thrown_by<SystemError>(
      [&] { (void)open_file(directory.path("none"), OpenMode::read); });
  CHECK(error.error_number() == ENOENT);
  CHECK(std::string(error.what()) ==
        "cannot open " + directory.path("none") + ": No such file or directory");
  CHECK(directory.entries() == 1);
}

TEST_CASE("a file that is written keeps what it has until it is emptied") {
  CHECK(after_writing(OpenMode::write, "BE") == "BEfore");
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("f");
  test::write_file(path, "before");
  const Fd file = open_file(path, OpenMode::write);
  empty_file(file, path);
  test::write_text(file.get(), "new");
  const Fd reader = open_file(path, OpenMode::read);
  CHECK(test::read_until_end(reader.get()) == "new");
}

TEST_CASE("to empty what is no file changes nothing") {
  const Pipe pipe = make_pipe();
  empty_file(pipe.write_end, "pipe");
  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  empty_file(file, "/dev/null");
}

TEST_CASE("a file that is written is added to or overwritten") {
  CHECK(after_writing(OpenMode::append, ", after") == "before, after");
  CHECK(after_writing(OpenMode::read_write, "BE") == "BEfore");
}

TEST_CASE("a file that is written is made when it is missing, as the umask allows") {
  const mode_t mask = umask(027);
  for (const OpenMode mode : {OpenMode::write, OpenMode::append, OpenMode::read_write}) {
    const test::TemporaryDirectory directory;
    const Fd file = open_file(directory.path("f"), mode);
    CHECK(access_mode(file) == (mode == OpenMode::read_write ? O_RDWR : O_WRONLY));
    struct stat status {};
    REQUIRE(fstat(file.get(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0640);
  }
  umask(mask);
}

TEST_CASE("a descriptor of a process is taken, and the process keeps it") {
  const test::DescriptorCheck check;
  const auto [read_end, write_end] = make_pipe();
  // Its own: nothing else is certain to be allowed.
  const Fd taken = take_from_process(getpid(), write_end.get());
  CHECK(taken.get() != write_end.get());
  CHECK(test::same_file(taken.get(), write_end.get()));
  CHECK(test::closes_on_exec(taken.get()));
  CHECK(test::is_open(write_end.get()));
  test::write_text(taken.get(), "x");
  CHECK(test::becomes_readable(read_end.get()));
}

TEST_CASE("a process or a descriptor that is not there is an error that names both") {
  const test::DescriptorCheck check;
  const auto no_descriptor =
      test::thrown_by<SystemError>([] { (void)take_from_process(getpid(), 4000); });
  CHECK(no_descriptor.error_number() == EBADF);
  CHECK(std::string(no_descriptor.what()) ==
        "cannot take " + std::to_string(getpid()) + ":4000: Bad file descriptor");
  // A number of a process that has just been reaped.
  const pid_t child = fork();
  if (child == 0) { _exit(0); }
  REQUIRE(waitpid(child, nullptr, 0) == child);
  CHECK(test::thrown_by<SystemError>([&] { (void)take_from_process(child, 0); }).error_number() ==
        ESRCH);
}

TEST_CASE("a process and its descriptor are written with a colon between them") {
  CHECK(parse_process_descriptor("1234:5") == std::pair(1234, 5));
  CHECK(parse_process_descriptor("1:0") == std::pair(1, 0));
  CHECK(parse_process_descriptor("2147483647:2147483647") == std::pair(2147483647, 2147483647));
}

TEST_CASE("anything else is no process and descriptor") {
  for (const char* text : {"",
                           ":",
                           "1",
                           "1:",
                           ":1",
                           "0:1",
                           "-1:1",
                           "1:-1",
                           "a:1",
                           "1:a",
                           "1:2:3",
                           " 1:2",
                           "1: 2",
                           "1:2 ",
                           "+1:2",
                           "0x1:2",
                           "1.0:2",
                           "2147483648:1",
                           "1:2147483648",
                           "99999999999999999999:1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_process_descriptor(text), InvalidArgument);
  }
  CHECK_THROWS_WITH(parse_process_descriptor("1"), "1: write PID:FD, as in 1234:5");
}

}  // namespace
}  // namespace handoff
