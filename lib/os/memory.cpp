// SPDX-License-Identifier: MIT
#include "os/memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/error.hpp"

namespace handoff {

Fd make_sealed_file(const char* name, std::string_view bytes) {
  Fd file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) throw SystemError(errno, "memfd_create");
  while (!bytes.empty()) {
    const ssize_t size = retry([&] { return write(file.get(), bytes.data(), bytes.size()); });
    if (size < 0) throw SystemError(errno, "fill a file in memory");
    bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (lseek(file.get(), 0, SEEK_SET) < 0 || fcntl(file.get(), F_ADD_SEALS, kSeals) < 0) {
    throw SystemError(errno, "seal a file in memory");
  }
  return file;
}

}  // namespace handoff
