// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "os/fd.hpp"
#include "os/owned_name.hpp"

namespace handoff {

/// The file with the number of this process, for as long as the object exists.
///
/// The process that has written the file holds a lock on it (fcntl(2), F_OFD_SETLK). A pidfile of a
/// process that runs, another file, a symlink or a device at the path is left alone, and is an
/// error. The destructor removes the file if the path still refers to it and it still contains this
/// process's number.
class Pidfile {
 public:
  /// Writes nothing yet. `predecessors` is a descriptor of the pidfile that a predecessor has
  /// written, which write() may replace although it is locked; invalid if there is none. It is
  /// taken over.
  explicit Pidfile(std::string path, Fd predecessors = {});
  Pidfile(const Pidfile&) = delete;
  Pidfile& operator=(const Pidfile&) = delete;
  ~Pidfile();

  /// Throws SystemError if it is already certain that write() will fail.
  void check() const;
  /// Writes the number at PATH.new and renames that file, so that no reader finds half a number.
  /// Throws SystemError; nothing has changed and nothing is left then.
  void write();

  /// Lets another process replace the file from now on, while this one is about to end.
  void unlock();

  /// Returns whether the path refers to a pidfile with the number of that process.
  bool names(pid_t pid) const;
  /// Returns the descriptor of the file, for a successor; still owned here; -1 before write().
  int fd() const { return file_.get(); }

 private:
  std::optional<FileIdentity> find_replaceable(const std::string& path) const;

  std::string path_;
  Fd predecessors_;
  std::string text_;
  Fd file_;  // closed after the name is gone
  OwnedName name_;
};

}  // namespace handoff
