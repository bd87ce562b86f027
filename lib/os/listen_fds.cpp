// SPDX-License-Identifier: MIT
#include "os/listen_fds.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "os/environment.hpp"
#include "os/parse_number.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

constexpr std::string_view kName = variable::kListenPid;

}  // namespace

int count_listen_fds() {
  const auto pid = read_variable(variable::kListenPid);
  const auto count = read_variable(variable::kListenFds);
  if (!pid || !count || parse_number<pid_t>(*pid) != getpid()) { return 0; }
  return std::max(parse_number<int>(*count).value_or(0), 0);
}

void give_listen_fds(SpawnOptions& options, const std::vector<std::string>& names) {
  const std::string count = fmt::format_int(names.size()).str();
  set_variable(options.environment, variable::kListenFds, count);
  set_variable(options.environment, variable::kListenFdNames,
               fmt::format("{}", fmt::join(names, ":")));
  options.listen_pid = true;
}

ListenPidVariable::ListenPidVariable() {
  static_assert(kName.size() + sizeof "=-2147483648" <= sizeof text_);
  kName.copy(text_.data(), kName.size());
  text_[kName.size()] = '=';
}

void ListenPidVariable::write(pid_t pid) noexcept {
  char* const number = text_.data() + kName.size() + 1;
  *std::to_chars(number, text_.data() + text_.size() - 1, pid).ptr = '\0';
}

}  // namespace handoff
