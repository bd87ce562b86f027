// SPDX-License-Identifier: MIT
#include "os/descriptor_limit.hpp"

#include <sys/resource.h>

namespace handoff {
namespace {

rlimit read_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}

}  // namespace

std::size_t original_descriptor_limit() {
  static const rlim_t kOriginal = read_limit().rlim_cur;
  return kOriginal;
}

std::size_t descriptor_limit() {
  return read_limit().rlim_cur;
}

std::size_t raise_descriptor_limit() {
  const std::size_t original = original_descriptor_limit();
  rlimit limit = read_limit();
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return original;
}

}  // namespace handoff
