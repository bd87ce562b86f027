// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "os/fd.hpp"

namespace handoff {

/// A file in memory (memfd_create(2)) that holds `bytes`, positioned at its start, sealed: whoever
/// gets it can read it and never change it. `name` shows in /proc for those who debug.
Fd make_sealed_file(const char* name, std::string_view bytes);

/// What make_sealed_file makes, for a program that is started: the stdin of one that runs on behalf
/// of one request, for example. Where
/// the kernel or a seccomp profile refuses memfd_create(2), it is a file without a name in /dev/shm
/// or /tmp, which only this user and those who get the descriptor can read. Throws SystemError.
Fd make_input_file(const char* name, std::string_view bytes);

/// The longest file, in memory too, that this process may make (RLIMIT_FSIZE).
std::uint64_t file_size_limit();

/// A whole file in memory, mapped and shared with every process that maps it too. Move-only.
class Mapping {
 public:
  Mapping() = default;
  /// Both map the whole file, which stays the caller's: the first to be read, the second to be read
  /// and written. Both throw SystemError.
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

/// A file in memory of so many zero bytes that keeps its size for ever, and our mapping of it.
struct SharedMemory {
  Fd file;
  Mapping mapping;
};
/// We write, and whoever gets the file can only read it.
SharedMemory make_memory_to_write(const char* name, std::size_t size);
/// Whoever gets the file writes, and our mapping is to read.
SharedMemory make_memory_to_read(const char* name, std::size_t size);
/// Both sides write.
SharedMemory make_memory_for_both(const char* name, std::size_t size);

}  // namespace handoff
