// SPDX-License-Identifier: MIT
#include "os/sealed_memory.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>

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

bool can_map_writable(int file, std::size_t size) {
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) { return false; }
  munmap(mapped, size);
  return true;
}

/// Whether each attempt to change the size fails as it does where that is forbidden.
void check_size_stays(const Fd& file, std::size_t size) {
  const auto length = static_cast<off_t>(size);
  for (const off_t other : {off_t{0}, length / 2, length - 1, length + 1, 2 * length}) {
    CHECK(ftruncate(file.get(), other) == -1);
    CHECK(errno == EPERM);
  }
  CHECK(fallocate(file.get(), 0, 0, 2 * length) == -1);
  CHECK(errno == EPERM);
  CHECK(pwrite(file.get(), "x", 1, length) == -1);
  CHECK(errno == EPERM);
  CHECK(fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE) == -1);
  CHECK(errno == EPERM);
}

TEST_CASE("memory to write is ours to change, and to read for whoever gets it") {
  const test::DescriptorCheck check;
  constexpr std::size_t kSize = 3 * 4096;
  const SharedMemory memory = make_memory_to_write("test", kSize);
  CHECK(test::closes_on_exec(memory.file.get()));
  CHECK(memory.mapping.size() == kSize);
  const Mapping theirs = Mapping::read_only(memory.file.get());
  CHECK(theirs.size() == kSize);
  CHECK(std::string_view(theirs.data(), kSize) == std::string(kSize, '\0'));
  memory.mapping.data()[kSize - 1] = 'x';
  CHECK(theirs.data()[kSize - 1] == 'x');

  check_size_stays(memory.file, kSize);
  CHECK_FALSE(can_map_writable(memory.file.get(), kSize));
  CHECK_THROWS_AS(Mapping::writable(memory.file.get()), SystemError);
  CHECK(pwrite(memory.file.get(), "y", 1, 0) == -1);
  CHECK(errno == EPERM);
  CHECK(fallocate(memory.file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize) == -1);
  CHECK(errno == EPERM);
  CHECK(mprotect(theirs.data(), kSize, PROT_READ | PROT_WRITE) == -1);
  const std::string again = "/proc/self/fd/" + std::to_string(memory.file.get());
  const Fd reopened(open(again.c_str(), O_RDWR | O_CLOEXEC));
  CHECK_FALSE(can_map_writable(reopened.get(), kSize));
  CHECK(theirs.data()[kSize - 1] == 'x');
}

TEST_CASE("memory to read is for whoever gets it to change, and of the same size for ever") {
  const test::DescriptorCheck check;
  constexpr std::size_t kSize = 3 * 4096;
  const SharedMemory memory = make_memory_to_read("test", kSize);
  CHECK(test::closes_on_exec(memory.file.get()));
  const Mapping theirs = Mapping::writable(memory.file.get());
  theirs.data()[1] = 'x';
  CHECK(memory.mapping.data()[1] == 'x');
  check_size_stays(memory.file, kSize);
  // A hole is zeros: what is mapped can still be read.
  CHECK(fallocate(memory.file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kSize) == 0);
  CHECK(memory.mapping.data()[1] == '\0');
}

TEST_CASE("a mapping can be moved, and outlives its descriptor") {
  const test::DescriptorCheck check;
  Mapping kept;
  CHECK(kept.data() == nullptr);
  {
    SharedMemory memory = make_memory_to_write("test", 4096);
    memory.mapping.data()[0] = 'x';
    kept = std::move(memory.mapping);
  }
  CHECK(kept.data()[0] == 'x');
  const Mapping moved(std::move(kept));
  CHECK(moved.data()[0] == 'x');
  CHECK(moved.size() == 4096);
}

TEST_CASE("memory that can't be made or mapped is an error") {
  const test::DescriptorCheck check;
  const auto error = test::thrown_by<SystemError>([] {
    const test::DescriptorLimit none(0);
    (void)make_memory_to_write("test", 4096);
  });
  CHECK(error.error_number() == EMFILE);
  CHECK(test::thrown_by<SystemError>([] { (void)Mapping::read_only(-1); }).error_number() == EBADF);
}

}  // namespace
}  // namespace handoff
