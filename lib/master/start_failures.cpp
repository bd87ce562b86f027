// SPDX-License-Identifier: MIT
#include "master/start_failures.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace handoff {
namespace {

constexpr int kCommandLine = 2;
constexpr int kNotRunnable = 126;
constexpr int kNotFound = 127;

bool is_same(const ExitStatus& one, const ExitStatus& other) {
  return one.code == other.code && one.signal == other.signal;
}

/// Returns after how many ends of this kind another attempt is useless.
int most_attempts(const ExitStatus& status) {
  const bool is_final =
      status.signal == 0 &&
      (status.code == kCommandLine || status.code == kNotRunnable || status.code == kNotFound);
  return is_final ? 1 : 3;
}

}  // namespace

void StartFailures::ended(int slot, const ExitStatus& status) {
  Run& run = runs_[slot];
  if (!is_same(run.status, status)) { run = {status, 0}; }
  ++run.length;
}

std::optional<ExitStatus> StartFailures::hopeless(std::size_t slots) const {
  if (any_was_ready_ || runs_.empty() || runs_.size() < slots) { return std::nullopt; }
  const ExitStatus first = runs_.begin()->second.status;
  const bool all_alike = std::all_of(runs_.begin(), runs_.end(), [&](const auto& entry) {
    return is_same(entry.second.status, first) && entry.second.length >= most_attempts(first);
  });
  return all_alike ? std::optional(first) : std::nullopt;
}

std::string describe_hopeless(const ExitStatus& status) {
  const int attempts = most_attempts(status);
  return fmt::format("no worker can start: each has ended {}with {} before it was ready",
                     attempts == 1 ? "" : fmt::format("{} times ", attempts), status.text());
}

}  // namespace handoff
