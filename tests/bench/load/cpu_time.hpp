// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <vector>

namespace load {

/// The CPU time that this process has used, in seconds.
double own_cpu_seconds();

/// The CPU time that all threads of these processes have used, in seconds: up to the last tick, as
/// /proc/PID/task/TID/schedstat has it (proc(5)). Throws when there is no such process.
double cpu_seconds_of(const std::vector<pid_t>& processes);

}  // namespace load
