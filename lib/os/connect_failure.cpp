// SPDX-License-Identifier: MIT
#include "os/connect_failure.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// Every other failure counts as one that may change: its reason is reported at the deadline, so
/// waiting in vain costs less than giving up too early.
bool is_permanent(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
    case EPROTOTYPE:
    case ENOTSOCK:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT:
    case EINVAL:
    case EMFILE: return true;
    default: return false;
  }
}

/// Returns the path of a socket in the file system; empty for any other address.
std::string path_of(const SocketAddress& target) {
  if (target.family() != AF_UNIX) { return {}; }
  const std::string text = target.text();
  const auto* local = reinterpret_cast<const sockaddr_un*>(target.data());
  const bool is_abstract = local->sun_path[0] == '\0';
  return is_abstract ? std::string() : text;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) { return "."; }
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Returns what makes the failure of a connect to a path permanent; empty if nothing does.
std::string obstacle_at(const std::string& path, int error_number) {
  struct stat file {};
  if (error_number == ENOENT) {
    const std::string folder = folder_of(path);
    const bool is_missing = stat(folder.c_str(), &file) < 0 && errno == ENOENT;
    if (is_missing) { return fmt::format("there is no folder {}", folder); }
  }
  if (error_number == ECONNREFUSED && stat(path.c_str(), &file) == 0 && !S_ISSOCK(file.st_mode)) {
    return "the file is no socket";
  }
  if (error_number == EPROTOTYPE) { return "the socket there is of another type"; }
  return {};
}

}  // namespace

ConnectFailure connect_failure(int error_number, const SocketAddress& target) {
  const std::string path = path_of(target);
  if (error_number == EAGAIN && target.family() == AF_UNIX) {
    return {error_number, "the listener's backlog is full", Outlook::may_change};
  }
  std::string reason = error_text(error_number);
  const std::string obstacle = path.empty() ? std::string() : obstacle_at(path, error_number);
  if (!obstacle.empty()) { reason += fmt::format(" ({})", obstacle); }
  const bool is_final = !obstacle.empty() || is_permanent(error_number);
  return {error_number, std::move(reason), is_final ? Outlook::permanent : Outlook::may_change};
}

ConnectFailure no_answer() {
  return {ETIMEDOUT, "no answer", Outlook::may_change};
}

}  // namespace handoff
