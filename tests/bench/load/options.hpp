// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "load/times.hpp"

namespace load {

struct LoadOptions {
  std::string address;
  std::string request;  ///< with all that is around it
  std::size_t connections = 1;
  std::size_t in_flight = 1;  ///< on each, in a closed loop
  double rate = 0;            ///< requests a second in an open loop; 0 is a closed loop
  bool reconnects = false;    ///< a connection for each request; so many `connections` at a time
  std::uint64_t seed = 1;     ///< of an open loop's chances
  std::chrono::duration<double> seconds{2};
  std::chrono::duration<double> warm_up{0.2};
  std::vector<pid_t> servers;  ///< whose CPU time is measured
};

struct LoadResult {
  std::uint64_t replies = 0;  ///< that came within the seconds of the measurement
  Times times;                ///< of the requests that were sent, or due, within them
  std::uint64_t errors = 0;   ///< replies that were errors, or no replies; not counted above
  std::string first_error;    ///< its beginning
  double own_cpu = 0;         ///< seconds that this process has used within the measurement
  double server_cpu = 0;      ///< the same of the servers
};

}  // namespace load
