// SPDX-License-Identifier: MIT
#include "os/child_claim.hpp"

#include <set>

namespace handoff {
namespace {

/// The claims of the whole process, whose children all its threads share.
struct Claims {
  std::recursive_mutex mutex;
  std::multiset<pid_t> pids;
};

/// The object is never destroyed: a child may have an owner until the process ends.
Claims& claims() {
  static auto& all = *new Claims;
  return all;
}

}  // namespace

ChildClaim::ChildClaim(pid_t pid) : pid_(pid) {
  if (pid_ <= 0) { return; }
  const auto lock = freeze();
  claims().pids.insert(pid_);
}

ChildClaim& ChildClaim::operator=(ChildClaim&& other) noexcept {
  if (this != &other) {
    release();
    pid_ = std::exchange(other.pid_, 0);
  }
  return *this;
}

void ChildClaim::release() {
  const pid_t pid = std::exchange(pid_, 0);
  if (pid <= 0) { return; }
  const auto lock = freeze();
  auto& pids = claims().pids;
  if (const auto found = pids.find(pid); found != pids.end()) { pids.erase(found); }
}

bool ChildClaim::exists(pid_t pid) {
  const auto lock = freeze();
  return claims().pids.contains(pid);
}

std::unique_lock<std::recursive_mutex> ChildClaim::freeze() {
  return std::unique_lock(claims().mutex);
}

}  // namespace handoff
