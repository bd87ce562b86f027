// SPDX-License-Identifier: MIT
#include "master/pidfile.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

std::string text_of(pid_t pid) {
  return fmt::format("{}\n", pid);
}

/// Returns the start of the file, which is longer than any number. A file that cannot be read gives
/// no number.
std::string read_start(int file) {
  std::array<char, 32> buffer{};
  const ssize_t size = pread(file, buffer.data(), buffer.size(), 0);
  return size < 0 ? "?" : std::string(buffer.data(), static_cast<std::size_t>(size));
}

/// An empty file counts too: a packager may have made it to be written.
bool is_number(std::string_view text) {
  constexpr std::size_t kMostDigits = 20;
  return text.size() <= kMostDigits && text.find_first_not_of("0123456789\n ") == text.npos;
}

/// Returns a lock on the whole file. Only a process that may write to the file can take one, so no
/// other user can pretend that a stale pidfile is in use.
struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool is_locked(int file) {
  struct flock lock = whole_file(F_RDLCK);
  return fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

SystemError cannot_write(const std::string& path, int error_number, std::string_view why) {
  return SystemError::sentence(error_number,
                               fmt::format("cannot write the pidfile {}: {}", path, why));
}

SystemError cannot_write(const std::string& path, int error_number) {
  return cannot_write(path, error_number, error_text(error_number));
}

std::string beside(const std::string& path) {
  return path + ".new";
}

Fd open_to_read(const std::string& path) {
  return Fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

}  // namespace

Pidfile::Pidfile(std::string path, Fd predecessors)
    : path_(std::move(path)), predecessors_(std::move(predecessors)), text_(text_of(getpid())) {
  if (predecessors_.valid()) { set_close_on_exec(predecessors_.get()); }
}

Pidfile::~Pidfile() {
  // The number is checked, because an administrator's shell may have written into the file.
  if (file_.valid() && read_start(file_.get()) != text_) {
    name_.set_owner(OwnedName::Owner::another_process);
  }
}

/// Returns the file at `path`, which is the pidfile itself or the one next to it, if it is a
/// pidfile that no process needs; nothing if no file is there. Throws for any other file.
std::optional<FileIdentity> Pidfile::find_replaceable(const std::string& path) const {
  struct stat found {};
  if (lstat(path.c_str(), &found) < 0) {
    if (errno == ENOENT) { return std::nullopt; }
    throw cannot_write(path_, errno);
  }
  if (!S_ISREG(found.st_mode)) {
    throw cannot_write(path_, EEXIST, fmt::format("{} is not a regular file", path));
  }
  const Fd file = open_to_read(path);
  if (!file.valid()) { throw cannot_write(path_, errno); }
  const FileIdentity identity = identity_of_descriptor(file.get());
  if (!is_number(read_start(file.get()))) {
    throw cannot_write(path_, EEXIST,
                       fmt::format("{} is no pidfile (remove it if nothing needs it)", path));
  }
  const bool is_ours =
      (file_.valid() && name_.file() == identity) ||
      (predecessors_.valid() && identity_of_descriptor(predecessors_.get()) == identity);
  if (!is_ours && is_locked(file.get())) {
    throw cannot_write(path_, EBUSY,
                       fmt::format("{} is that of a process that runs (stop that first, or name "
                                   "another file)",
                                   path));
  }
  return identity;
}

void Pidfile::check() const {
  (void)find_replaceable(path_);
  (void)find_replaceable(beside(path_));
  if (const int error = error_of_making(path_)) { throw cannot_write(path_, error); }
}

void Pidfile::write() {
  const std::string made_at = beside(path_);
  const auto replaced = find_replaceable(path_);
  if (const auto leftover = find_replaceable(made_at)) {
    const OwnedName removed(made_at, *leftover);
  }
  Fd file(open(made_at.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid()) { throw cannot_write(path_, errno); }
  OwnedName name(made_at, identity_of_descriptor(file.get()));
  // A failure is ignored, because some file systems have no locks.
  struct flock lock = whole_file(F_WRLCK);
  fcntl(file.get(), F_OFD_SETLK, &lock);
  const ssize_t size = ::write(file.get(), text_.data(), text_.size());
  if (size != static_cast<ssize_t>(text_.size())) {
    throw cannot_write(path_, size < 0 ? errno : ENOSPC);
  }
  try {
    name.move_to(path_, replaced, "rename");
  } catch (const SystemError& error) { throw cannot_write(path_, error.error_number()); }
  name_ = std::move(name);
  file_ = std::move(file);
  predecessors_.reset();
}

void Pidfile::unlock() {
  struct flock lock = whole_file(F_UNLCK);
  if (file_.valid()) { fcntl(file_.get(), F_OFD_SETLK, &lock); }
}

bool Pidfile::names(pid_t pid) const {
  const Fd file = open_to_read(path_);
  return file.valid() && read_start(file.get()) == text_of(pid);
}

}  // namespace handoff
