// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <type_traits>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

static_assert(!std::is_copy_constructible_v<Fd> && !std::is_copy_assignable_v<Fd>);
static_assert(!std::is_convertible_v<Fd, int> && !std::is_constructible_v<bool, Fd>);
static_assert(!std::is_convertible_v<int, Fd>);

Fd open_null() {
  return Fd(open("/dev/null", O_RDWR | O_CLOEXEC));
}

TEST_CASE("a descriptor is closed when its owner is destroyed") {
  int number = -1;
  {
    const Fd fd = open_null();
    number = fd.get();
    REQUIRE(test::is_open(number));
  }
  CHECK(!test::is_open(number));
}

TEST_CASE("no descriptor is owned to begin with, and 0 is a valid one") {
  CHECK(!Fd().valid());
  CHECK(!Fd(-1).valid());
  Fd standard_input(0);
  CHECK(standard_input.valid());
  CHECK(standard_input.release() == 0);
}

TEST_CASE("moving a descriptor moves who closes it") {
  const test::DescriptorCheck check;
  Fd first = open_null();
  const int number = first.get();
  Fd second(std::move(first));
  CHECK(!first.valid());  // NOLINT(bugprone-use-after-move)
  CHECK(second.get() == number);

  Fd third = open_null();
  const int replaced = third.get();
  third = std::move(second);
  CHECK(third.get() == number);
  CHECK(!test::is_open(replaced));
  CHECK(test::is_open(number));
}

TEST_CASE("a descriptor moved to itself stays open") {
  const test::DescriptorCheck check;
  Fd fd = open_null();
  Fd& alias = fd;
  fd = std::move(alias);
  CHECK(fd.valid());
  CHECK(test::is_open(fd.get()));
}

TEST_CASE("a released descriptor is the caller's, a reset one is closed at once") {
  const test::DescriptorCheck check;
  Fd fd = open_null();
  const int number = fd.release();
  CHECK(!fd.valid());
  CHECK(test::is_open(number));

  fd = Fd(number);
  fd.reset();
  CHECK(!fd.valid());
  CHECK(!test::is_open(number));
  fd.reset();
}

TEST_CASE("a duplicate is close-on-exec and shares the open file") {
  const test::DescriptorCheck check;
  const auto [read_end, write_end] = make_pipe();
  const Fd copy = read_end.duplicate();
  CHECK(copy.get() != read_end.get());
  CHECK(test::closes_on_exec(copy.get()));
  set_nonblocking(copy.get());
  CHECK(test::is_nonblocking(read_end.get()));
  CHECK(test::thrown_by<SystemError>([] { Fd().duplicate(); }).error_number() == EBADF);
}

TEST_CASE("a pipe carries bytes, blocks, and is close-on-exec") {
  const test::DescriptorCheck check;
  auto [read_end, write_end] = make_pipe();
  for (const int number : {read_end.get(), write_end.get()}) {
    CHECK(test::closes_on_exec(number));
    CHECK(!test::is_nonblocking(number));
  }
  test::write_text(write_end.get(), "bytes");
  write_end.reset();
  CHECK(test::read_until_end(read_end.get()) == "bytes");
}

TEST_CASE("a pipe that can't be made leaves nothing open") {
  const test::DescriptorCheck check;
  const auto error = test::thrown_by<SystemError>([] {
    const test::DescriptorLimit none(0);
    make_pipe();
  });
  CHECK(error.error_number() == EMFILE);
}

TEST_CASE("descriptor flags are set and cleared") {
  const Fd fd = open_null();
  clear_close_on_exec(fd.get());
  CHECK(!test::closes_on_exec(fd.get()));
  set_close_on_exec(fd.get());
  CHECK(test::closes_on_exec(fd.get()));
  set_nonblocking(fd.get());
  CHECK(test::is_nonblocking(fd.get()));
  set_blocking(fd.get());
  CHECK(!test::is_nonblocking(fd.get()));
}

TEST_CASE("flags of a closed descriptor can't be set") {
  CHECK(test::thrown_by<SystemError>([] { set_nonblocking(-1); }).error_number() == EBADF);
  CHECK(test::thrown_by<SystemError>([] { set_blocking(-1); }).error_number() == EBADF);
  CHECK(test::thrown_by<SystemError>([] { set_close_on_exec(-1); }).error_number() == EBADF);
  CHECK(test::thrown_by<SystemError>([] { clear_close_on_exec(-1); }).error_number() == EBADF);
}

}  // namespace
}  // namespace handoff
