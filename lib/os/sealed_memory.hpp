// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "os/fd.hpp"

namespace handoff {

/// Makes a file in memory (memfd_create(2)) that holds `bytes`, is positioned at its start, and is
/// sealed: every process that gets it can read it and none can change it. `name` appears in /proc
/// for debugging. The caller owns the file. Throws SystemError.
Fd make_sealed_file(const char* name, std::string_view bytes);

/// Makes a file of `bytes` for a program that is started: the stdin of one that runs for one
/// request, for example. It is that of make_sealed_file(); where the kernel or a seccomp profile
/// refuses memfd_create(2), it is an unnamed file in /dev/shm or /tmp, which only this user and
/// processes that get the descriptor can read. Throws SystemError.
Fd make_input_file(const char* name, std::string_view bytes);

/// Returns the longest file in bytes, in memory too, that this process may make (RLIMIT_FSIZE).
std::uint64_t file_size_limit();

/// A mapping of a whole file in memory, shared with every process that maps the file. Move-only.
class Mapping {
 public:
  Mapping() = default;
  /// These map the whole file, which stays the caller's and may be closed afterwards: the first for
  /// reading, the second for reading and writing. Both throw SystemError.
  static Mapping read_only(int file);
  static Mapping writable(int file);
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping();

  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  Mapping(int file, int protection);

  char* data_ = nullptr;
  std::size_t size_ = 0;
};

/// A file in memory whose size can never change, and this process's mapping of it. It begins as
/// zero bytes.
struct SharedMemory {
  Fd file;
  Mapping mapping;
};
/// Makes memory that this process writes, and that every process that gets the file can only read.
/// `size` is in bytes. This function and the next two throw SystemError.
SharedMemory make_memory_to_write(const char* name, std::size_t size);
/// Makes memory that processes that get the file write, and that this process reads.
SharedMemory make_memory_to_read(const char* name, std::size_t size);
/// Makes memory that both sides write.
SharedMemory make_memory_for_both(const char* name, std::size_t size);

}  // namespace handoff
