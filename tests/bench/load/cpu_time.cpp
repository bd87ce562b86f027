// SPDX-License-Identifier: MIT
#include "load/cpu_time.hpp"

#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <fstream>

namespace load {

double own_cpu_seconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

double cpu_seconds_of(const std::vector<pid_t>& processes) {
  double sum = 0;
  for (const pid_t process : processes) {
    const std::filesystem::path threads = fmt::format("/proc/{}/task", process);
    for (const auto& thread : std::filesystem::directory_iterator(threads)) {
      double nanoseconds = 0;
      std::ifstream(thread.path() / "schedstat") >> nanoseconds;
      sum += nanoseconds / 1e9;
    }
  }
  return sum;
}

}  // namespace load
