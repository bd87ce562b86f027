// SPDX-License-Identifier: MIT
#include "os/memory.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "os/error.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

TEST_CASE("a sealed file holds its bytes, from its start on") {
  const test::DescriptorCheck check;
  for (const std::size_t size : {0U, 1U, 70'000U, 3'000'000U}) {
    const std::string bytes(size, 'x');
    const Fd file = make_sealed_file("test", bytes);
    CHECK(test::closes_on_exec(file.get()));
    CHECK(test::read_until_end(file.get()) == bytes);
  }
}

TEST_CASE("nobody can change a sealed file, whoever has it") {
  const test::DescriptorCheck check;
  const Fd file = make_sealed_file("test", "bytes");
  CHECK(pwrite(file.get(), "B", 1, 0) == -1);
  CHECK(errno == EPERM);
  CHECK(ftruncate(file.get(), 1) == -1);
  CHECK(errno == EPERM);
  CHECK(ftruncate(file.get(), 100) == -1);
  CHECK(errno == EPERM);
  CHECK(fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5) == -1);
  CHECK(errno == EPERM);
  void* mapping = mmap(nullptr, 5, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  CHECK((mapping == MAP_FAILED));
  CHECK(fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK) == -1);
  CHECK(errno == EPERM);
  CHECK(test::read_until_end(file.get()) == "bytes");
}

TEST_CASE("a sealed file that can't be made is an error") {
  const auto error = test::thrown_by<SystemError>([] {
    const test::DescriptorLimit none(0);
    (void)make_sealed_file("test", "");
  });
  CHECK(error.error_number() == EMFILE);
}

}  // namespace
}  // namespace handoff
