// SPDX-License-Identifier: MIT
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace handoff {

/// Says which file it is, however many names that has and whatever else has had its name. It is
/// unique for as long as the file exists: who relies on it keeps the file open, or its socket.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  static FileIdentity of(const struct stat& found) { return {found.st_dev, found.st_ino}; }
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// The file that `path` names; a symlink is not followed. Nothing when there is none or it cannot
/// be told.
std::optional<FileIdentity> identity_of_name(const std::string& path);

/// The file of a descriptor. Throws SystemError.
FileIdentity identity_of_descriptor(int number);

/// A name in the file system that this process has given to a file. Its destructor removes the name
/// if it still refers to that file; a name that refers to another file by then is left alone.
/// Move-only. Never blocks longer than the file system does.
class OwnedName {
 public:
  /// Who removes the name in the end.
  enum class Owner { this_process, another_process };

  /// Owns nothing.
  OwnedName() = default;
  /// `path` has been given to `file`.
  OwnedName(std::string path, FileIdentity file, Owner owner = Owner::this_process);
  OwnedName(OwnedName&& other) noexcept;
  OwnedName& operator=(OwnedName&& other) noexcept;
  ~OwnedName() { remove(); }

  const std::string& path() const { return path_; }
  FileIdentity file() const { return file_; }
  Owner owner() const { return owner_; }
  void set_owner(Owner owner) { owner_ = owner; }

  /// Whether the name refers to the file now.
  bool is_in_place() const;

  /// Renames the file to `path`, which must refer to `replaced`, or to no file if that is empty.
  /// Throws SystemError (`attempt`, on `path`), with EEXIST when another file is there; then
  /// nothing has changed.
  void move_to(const std::string& path, std::optional<FileIdentity> replaced,
               std::string_view attempt);

 private:
  void remove() noexcept;

  std::string path_;
  FileIdentity file_;
  Owner owner_ = Owner::this_process;
};

}  // namespace handoff
