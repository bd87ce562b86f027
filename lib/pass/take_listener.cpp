// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/parse_number.hpp"
#include "os/socket.hpp"
#include "pass/sources.hpp"

namespace handoff {
namespace {

/// The most listeners of a process that an error names when none of them is the wanted one.
constexpr std::size_t kMostNamed = 5;

/// How well a listener fits the wanted address; a greater value is better.
enum class Fit { none, any_address, exact };

/// Returns the numbers of the sockets of a process, in order.
std::vector<int> sockets_of(int pid) {
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  std::vector<int> numbers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code vanished;
    const std::string link = std::filesystem::read_symlink(entry->path(), vanished).string();
    const auto number = parse_number<int>(entry->path().filename().string());
    if (number && link.starts_with("socket:")) { numbers.push_back(*number); }
  }
  if (error) { throw SystemError(error.value(), "look into", folder); }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

/// Returns the path to which a handoff tool renames a socket that it has bound at PATH.new; the
/// kernel still reports the first name.
std::string renamed(const std::string& path) {
  constexpr std::string_view kNew = ".new";
  return path.ends_with(kNew) ? path.substr(0, path.size() - kNew.size()) : path;
}

/// Returns whether two paths lead to one file. The path of another process is relative to that
/// process's folder.
bool is_same_file(const std::string& wanted, int pid, const std::string& path) {
  const std::string theirs =
      path.starts_with('/') ? path : fmt::format("/proc/{}/cwd/{}", pid, path);
  struct stat left {};
  struct stat right {};
  return stat(wanted.c_str(), &left) == 0 && stat(theirs.c_str(), &right) == 0 &&
         left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

/// Returns whether a listener on all addresses of the host serves the wanted one. A listener of
/// IPv6 may serve IPv4 too.
bool serves(const SocketAddress& listener, const SocketAddress& wanted) {
  const std::string text = listener.text();
  const bool at_all_of_ipv4 = text.starts_with("0.0.0.0:") && wanted.family() == AF_INET;
  return wanted.port() != 0 && wanted.port() == listener.port() &&
         (at_all_of_ipv4 || text.starts_with("[::]:"));
}

Fit fit_of(const SocketAddress& listener, const std::vector<SocketAddress>& wanted,
           const Address& address, int pid) {
  if (address.kind == Address::Kind::unix_path) {
    const std::string path = listener.text();
    const bool is_path = listener.family() == AF_UNIX && !path.starts_with('@');
    const bool fits = is_path && (is_same_file(address.name, pid, path) ||
                                  is_same_file(address.name, pid, renamed(path)));
    return fits ? Fit::exact : Fit::none;
  }
  Fit best = Fit::none;
  for (const SocketAddress& one : wanted) {
    if (one.text() == listener.text()) { return Fit::exact; }
    if (serves(listener, one)) { best = Fit::any_address; }
  }
  return best;
}

/// Returns the descriptor, or none if it is not open any more: a busy server may close a connection
/// at any moment.
Fd take_if_open(int pid, int number) {
  try {
    return take_from_process(pid, number);
  } catch (const SystemError& error) {
    if (error.error_number() == EBADF) { return {}; }
    throw;
  }
}

std::string listed_listeners(const std::vector<std::string>& texts) {
  if (texts.empty()) { return "it has no listener"; }
  const std::size_t count = std::min(texts.size(), kMostNamed);
  const std::vector<std::string> named(texts.begin(),
                                       texts.begin() + static_cast<std::ptrdiff_t>(count));
  return fmt::format("it listens on {}{}", fmt::join(named, ", "),
                     texts.size() > count ? ", and elsewhere" : "");
}

}  // namespace

Fd take_listener(int pid, const Address& address) {
  const std::vector<SocketAddress> wanted =
      address.kind == Address::Kind::unix_path ? std::vector<SocketAddress>() : address.resolve();
  std::pair<Fit, Fd> best{Fit::none, Fd()};
  std::vector<std::string> others;
  for (const int number : sockets_of(pid)) {
    Fd socket = take_if_open(pid, number);
    if (!socket.valid() || !is_listening(socket.get())) { continue; }
    const SocketAddress at = local_address(socket.get());
    const Fit fit = fit_of(at, wanted, address, pid);
    if (fit > best.first) { best = {fit, std::move(socket)}; }
    others.push_back(at.text());
  }
  if (best.first != Fit::none) { return std::move(best.second); }
  throw InvalidArgument(fmt::format("cannot find a listener on {} in process {}: {}", address.text,
                                    pid, listed_listeners(others)));
}

}  // namespace handoff
