// SPDX-License-Identifier: MIT
#include "os/listener.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "os/socket_path.hpp"

namespace handoff {
namespace {

/// The owner of the folder can put another file in the place of `name` at any moment, and a name
/// would lead to it. So the mode is set through a descriptor.
void set_mode(const OwnedName& name, mode_t mode, const std::string& path) {
  const Fd file(open(name.path().c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) { throw SystemError(errno, "set the mode of", path); }
  if (identity_of_descriptor(file.get()) != name.file()) {
    throw in_the_way(path, name.path(), EEXIST);
  }
  if (chmod(fmt::format("/proc/self/fd/{}", file.get()).c_str(), mode) < 0) {
    throw SystemError(errno, "set the mode of", path);
  }
}

/// Binds the socket next to `path`, at PATH.new.
OwnedName bind_beside(int socket, const std::string& path, mode_t mode) {
  const std::string beside = beside_of(path);
  remove_leftover(beside, path);
  const SocketAddress address = SocketAddress::unix_path(beside);
  // bind(2) gives the file the mode of the socket's own inode, so the file never exists with a
  // wider mode.
  if (fchmod(socket, mode) < 0) { throw SystemError(errno, "set the mode of", path); }
  if (bind(socket, address.data(), address.size()) < 0) {
    throw SystemError(errno, "listen on", path);
  }
  struct stat bound {};
  if (lstat(beside.c_str(), &bound) < 0) { throw SystemError(errno, "listen on", path); }
  if (!S_ISSOCK(bound.st_mode)) { throw in_the_way(path, beside, EEXIST); }
  OwnedName name(beside, FileIdentity::of(bound));
  // The umask may have reduced the mode; `mode` is exact.
  if ((bound.st_mode & 07777U) != mode) { set_mode(name, mode, path); }
  return name;
}

/// Gives the socket the name `path`, in the place of `replaced`. The socket listens before it has
/// that name, because a client may connect as soon as it finds it. Nothing can fail after the
/// rename.
OwnedName listen_named(int socket, const std::string& path, mode_t mode, int backlog,
                       std::optional<FileIdentity> replaced) {
  OwnedName name = bind_beside(socket, path, mode);
  if (listen(socket, backlog) < 0) { throw SystemError(errno, "listen on", path); }
  name.move_to(path, replaced, "listen on");
  return name;
}

void bind_address(int socket, const SocketAddress& wanted, const std::string& text) {
  if (wanted.family() != AF_UNIX) {
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1, "set SO_REUSEADDR");
  }
  // Another listener can then have 0.0.0.0:80 while this one has [::]:80.
  if (wanted.family() == AF_INET6) {
    set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1, "set IPV6_V6ONLY");
  }
  if (bind(socket, wanted.data(), wanted.size()) < 0) {
    throw SystemError(errno, "listen on", text);
  }
}

}  // namespace

NotLoopback::NotLoopback(const std::string& address)
    : InvalidArgument(fmt::format("cannot listen on {}: other hosts could connect", address)) {}

Listener Listener::adopt(Fd fd, std::string text) {
  Listener listener;
  set_close_on_exec(fd.get());
  listener.fd_ = std::move(fd);
  listener.text_ = std::move(text);
  return listener;
}

Listener Listener::adopt(Fd fd, std::string text, Fd lock, FileIdentity file) {
  Listener listener = adopt(std::move(fd), std::move(text));
  set_close_on_exec(lock.get());
  const std::string path = Address::parse(listener.text_).name;
  constexpr auto kOwner = OwnedName::Owner::another_process;
  listener.lock_name_ = {lock_of(path), identity_of_descriptor(lock.get()), kOwner};
  listener.name_ = {path, file, kOwner};
  listener.lock_ = std::move(lock);
  return listener;
}

void Listener::set_owner(OwnedName::Owner owner) {
  name_.set_owner(owner);
  lock_name_.set_owner(owner);
}

bool Listener::is_shut_down() const {
  pollfd asked{fd(), POLLRDHUP, 0};
  return poll(&asked, 1, 0) > 0 && (asked.revents & (POLLHUP | POLLRDHUP)) != 0;
}

bool Listener::heal() {
  const Address address = Address::parse(text_);
  const int type = socket_type(fd()).value_or(SOCK_STREAM);
  if (address.kind == Address::Kind::tcp && listen(fd(), ListenOptions().backlog) == 0) {
    // The kernel has kept a port that was asked for. It has freed one that it chose itself, and the
    // socket has another port now.
    if (local_address(fd()).text() == text_) { return true; }
    shutdown(fd(), SHUT_RDWR);
  }
  const SocketAddress wanted = address.resolve().front();
  Fd fresh = make_socket(wanted, type);
  if (address.kind == Address::Kind::unix_path) {
    struct stat old {};
    if (name_.owner() != OwnedName::Owner::this_process || !lock_.valid() ||
        lstat(address.name.c_str(), &old) < 0 || FileIdentity::of(old) != name_.file()) {
      throw SystemError(EADDRINUSE, "listen on", text_);  // the file belongs to another process
    }
    name_ = listen_named(fresh.get(), address.name, old.st_mode & 0777U, ListenOptions().backlog,
                         name_.file());
  } else {
    bind_address(fresh.get(), wanted, text_);
    if (listen(fresh.get(), ListenOptions().backlog) < 0) {
      throw SystemError(errno, "listen on", text_);
    }
  }
  if ((fcntl(fd(), F_GETFL) & O_NONBLOCK) == 0) { set_blocking(fresh.get()); }
  fd_ = std::move(fresh);
  return false;
}

SocketAddress address_to_listen_on(const Address& address, const ListenOptions& options) {
  if (address.kind == Address::Kind::exec) {
    throw InvalidArgument(
        fmt::format("cannot listen on {}: a command can't be listened on", address.text));
  }
  const SocketAddress wanted = address.resolve().front();
  if (!wanted.is_loopback() && !options.allow_public) { throw NotLoopback(address.text); }
  return wanted;
}

void check_inherited(const Address& address) {
  if (!socket_type(address.number)) { throw SystemError(errno, "listen on", address.text); }
  if (!is_listening(address.number)) {
    throw InvalidArgument(
        fmt::format("cannot listen on {}: the descriptor is not a listening socket", address.text));
  }
}

Listener listen_on(const Address& address, const ListenOptions& options) {
  Listener listener;
  if (address.kind == Address::Kind::inherited) {
    check_inherited(address);
    set_close_on_exec(address.number);
    set_nonblocking(address.number);
    listener.fd_ = Fd(address.number);
    const SocketAddress bound = local_address(address.number);
    if (bound.family() != AF_UNIX) {
      set_option(address.number, IPPROTO_TCP, TCP_NODELAY, 1, "set TCP_NODELAY");
    }
    listener.text_ = bound.text();
    return listener;
  }
  const SocketAddress wanted = address_to_listen_on(address, options);
  listener.fd_ = make_socket(wanted, options.type);
  const int socket = listener.fd_.get();
  if (options.blocking) { set_blocking(socket); }
  if (address.kind == Address::Kind::unix_path) {
    check_length(address.name);
    PathLock lock = lock_path(address.name);
    listener.lock_ = std::move(lock.file);
    listener.lock_name_ = std::move(lock.name);
    listener.name_ =
        listen_named(socket, address.name, options.mode, options.backlog, find_stale(address.name));
  } else {
    bind_address(socket, wanted, address.text);
    if (listen(socket, options.backlog) < 0) {
      throw SystemError(errno, "listen on", address.text);
    }
  }
  listener.text_ = wanted.family() == AF_UNIX ? address.text : local_address(socket).text();
  return listener;
}

}  // namespace handoff
