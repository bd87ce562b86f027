// SPDX-License-Identifier: MIT
#include "os/sealed_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/error.hpp"

namespace handoff {
namespace {

Fd make_file(const char* name, std::size_t size) {
  Fd file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) { throw SystemError(errno, "use memfd_create"); }
  if (ftruncate(file.get(), static_cast<off_t>(size)) < 0) {
    throw SystemError(errno, "size a file in memory");
  }
  return file;
}

void fill(const Fd& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = retry([&] { return write(file.get(), bytes.data(), bytes.size()); });
    if (size < 0) { throw SystemError(errno, "fill a file in memory"); }
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  if (lseek(file.get(), 0, SEEK_SET) < 0) { throw SystemError(errno, "rewind a file in memory"); }
}

/// Returns an invalid Fd if no folder can hold such a file.
Fd make_unnamed_file() {
  for (const char* folder : {"/dev/shm", "/tmp"}) {
    Fd file(open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (file.valid()) { return file; }
  }
  return {};
}

/// Seals the size of the file, and what `more` says.
void seal(const Fd& file, int more) {
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | more) < 0) {
    throw SystemError(errno, "seal a file in memory");
  }
}

}  // namespace

Fd make_sealed_file(const char* name, std::string_view bytes) {
  Fd file = make_file(name, 0);
  fill(file, bytes);
  seal(file, F_SEAL_WRITE);
  return file;
}

Fd make_input_file(const char* name, std::string_view bytes) {
  try {
    return make_sealed_file(name, bytes);
  } catch (const SystemError& error) {
    if (!is_refused(error.error_number())) { throw; }
    Fd file = make_unnamed_file();
    if (!file.valid()) { throw; }
    fill(file, bytes);
    return file;
  }
}

std::uint64_t file_size_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  return limit.rlim_cur;
}

Mapping Mapping::read_only(int file) {
  return {file, PROT_READ};
}

Mapping Mapping::writable(int file) {
  return {file, PROT_READ | PROT_WRITE};
}

Mapping::Mapping(int file, int protection) {
  struct stat status {};
  if (fstat(file, &status) < 0) { throw SystemError(errno, "examine a file in memory"); }
  size_ = static_cast<std::size_t>(status.st_size);
  void* mapped = mmap(nullptr, size_, protection, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) { throw SystemError(errno, "map a file in memory"); }
  data_ = static_cast<char*>(mapped);
}

Mapping::~Mapping() {
  if (data_ != nullptr) { munmap(data_, size_); }
}

SharedMemory make_memory_to_write(const char* name, std::size_t size) {
  Fd file = make_file(name, size);
  Mapping mapping = Mapping::writable(file.get());
  seal(file, F_SEAL_FUTURE_WRITE);  // a mapping that exists stays writable
  return {std::move(file), std::move(mapping)};
}

SharedMemory make_memory_to_read(const char* name, std::size_t size) {
  Fd file = make_file(name, size);
  seal(file, 0);
  Mapping mapping = Mapping::read_only(file.get());
  return {std::move(file), std::move(mapping)};
}

SharedMemory make_memory_for_both(const char* name, std::size_t size) {
  Fd file = make_file(name, size);
  seal(file, 0);
  Mapping mapping = Mapping::writable(file.get());
  return {std::move(file), std::move(mapping)};
}

}  // namespace handoff
