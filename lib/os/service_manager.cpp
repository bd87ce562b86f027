// SPDX-License-Identifier: MIT
#include "os/service_manager.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/parse_number.hpp"
#include "os/socket_address.hpp"

namespace handoff {
namespace {

/// The interval is within these, whatever the manager asks for.
constexpr std::chrono::microseconds kShortestInterval = std::chrono::milliseconds(1);
constexpr std::chrono::microseconds kLongestInterval = std::chrono::hours(1);

}  // namespace

ServiceManager::ServiceManager() : socket_(read_variable(variable::kNotifySocket).value_or("")) {
  const std::string pid = read_variable(variable::kWatchdogPid).value_or("");
  const std::string period = read_variable(variable::kWatchdogUsec).value_or("");
  const long microseconds = parse_number<long>(period).value_or(0);
  if (microseconds > 0 && (pid.empty() || parse_number<pid_t>(pid) == getpid())) {
    interval_ = std::clamp(std::chrono::microseconds(microseconds / 2), kShortestInterval,
                           kLongestInterval);
  }
}

void ServiceManager::reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const long long microseconds = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds));
}

void ServiceManager::status(std::string_view text) const {
  send(fmt::format("STATUS={}", text));
}

void ServiceManager::main_pid(pid_t pid) const {
  send(fmt::format("MAINPID={}", pid));
}

std::vector<std::string> ServiceManager::variables() const {
  Environment variables;
  if (!socket_.empty()) { variables.push_back(assignment(variable::kNotifySocket, socket_)); }
  if (interval_) {
    const std::string period = fmt::format_int(2 * interval_->count()).str();
    variables.push_back(assignment(variable::kWatchdogUsec, period));
  }
  return variables;
}

bool ServiceManager::is_there() const {
  return connect().valid();
}

void ServiceManager::send(std::string_view message) const {
  const Fd socket = connect();
  if (!socket.valid()) { return; }
  ::send(socket.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// Returns a datagram socket that is connected to the manager, invalid if none listens.
Fd ServiceManager::connect() const {
  if (socket_.empty()) { return {}; }
  try {
    const bool is_abstract = socket_.starts_with('@');
    const SocketAddress address = is_abstract ? SocketAddress::unix_abstract(socket_.substr(1))
                                              : SocketAddress::unix_path(socket_);
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) { return {}; }
    if (::connect(socket.get(), address.data(), address.size()) < 0) { return {}; }
    return socket;
  } catch (const InvalidArgument&) {
    return {};  // the variable is not the name of a socket
  }
}

}  // namespace handoff
