// SPDX-License-Identifier: MIT
#include "os/owned_name.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <utility>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

/// Renames unless the new name exists. NFS and some other file systems have no such operation;
/// there the new name is replaced.
int rename_if_free(const char* from, const char* to) {
  const int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  if (result == 0 || (errno != EINVAL && errno != ENOSYS)) { return result; }
  return rename(from, to);
}

}  // namespace

std::optional<FileIdentity> identity_of_name(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) < 0) { return std::nullopt; }
  return FileIdentity::of(found);
}

FileIdentity identity_of_descriptor(int number) {
  struct stat found {};
  if (fstat(number, &found) < 0) { throw SystemError(errno, "examine a descriptor"); }
  return FileIdentity::of(found);
}

int error_of_making(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
  return faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) < 0 ? errno : 0;
}

OwnedName::OwnedName(std::string path, FileIdentity file, Owner owner)
    : path_(std::move(path)), file_(file), owner_(owner) {}

OwnedName::OwnedName(OwnedName&& other) noexcept
    : path_(std::exchange(other.path_, {})), file_(other.file_), owner_(other.owner_) {}

OwnedName& OwnedName::operator=(OwnedName&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
    file_ = other.file_;
    owner_ = other.owner_;
  }
  return *this;
}

bool OwnedName::is_in_place() const {
  return !path_.empty() && identity_of_name(path_) == file_;
}

void OwnedName::move_to(const std::string& path, std::optional<FileIdentity> replaced,
                        std::string_view attempt) {
  if (replaced && identity_of_name(path) != replaced) { throw SystemError(EEXIST, attempt, path); }
  const int result =
      replaced ? rename(path_.c_str(), path.c_str()) : rename_if_free(path_.c_str(), path.c_str());
  if (result < 0) { throw SystemError(errno, attempt, path); }
  path_ = path;
}

void OwnedName::remove() noexcept {
  if (owner_ == Owner::this_process && is_in_place()) { unlink(path_.c_str()); }
  path_.clear();
}

}  // namespace handoff
