// SPDX-License-Identifier: MIT
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// Identifies a file, however many names it has and whatever other file had its name before. It is
/// unique for as long as the file exists: a caller that relies on it keeps the file, or its socket,
/// open.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  static FileIdentity of(const struct stat& found) { return {found.st_dev, found.st_ino}; }
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// Returns the file that `path` refers to, without following a symlink; nothing if there is none or
/// it cannot be examined.
std::optional<FileIdentity> identity_of_name(const std::string& path);

/// Returns the file of a descriptor. Throws SystemError.
FileIdentity identity_of_descriptor(int number);

/// Returns why this process cannot make a file at `path` and remove it, as an error number: the
/// folder is not there or may not be written to. Returns 0 if it can.
int error_of_making(const std::string& path);

/// A name in the file system that this process has given to a file. The destructor removes the name
/// if it still refers to that file, and leaves it alone if it refers to another one. Move-only.
class OwnedName {
 public:
  /// The process that removes the name in the end.
  enum class Owner { this_process, another_process };

  /// Makes an object that owns no name.
  OwnedName() = default;
  /// Takes over `path`, which was given to `file`.
  OwnedName(std::string path, FileIdentity file, Owner owner = Owner::this_process);
  OwnedName(OwnedName&& other) noexcept;
  OwnedName& operator=(OwnedName&& other) noexcept;
  ~OwnedName() { remove(); }

  const std::string& path() const { return path_; }
  FileIdentity file() const { return file_; }
  Owner owner() const { return owner_; }
  void set_owner(Owner owner) { owner_ = owner; }

  /// Returns whether the name refers to the file now.
  bool is_in_place() const;

  /// Renames the file to `path`, which must refer to `replaced`, or to no file if that is empty.
  /// Throws SystemError (`attempt`, on `path`), with EEXIST if another file is there; nothing has
  /// changed then.
  void move_to(const std::string& path, std::optional<FileIdentity> replaced,
               std::string_view attempt);

 private:
  void remove() noexcept;

  std::string path_;
  FileIdentity file_;
  Owner owner_ = Owner::this_process;
};

}  // namespace handoff
