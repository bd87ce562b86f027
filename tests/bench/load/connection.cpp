// SPDX-License-Identifier: MIT
#include "load/connection.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace load {

void Connection::close() {
  if (socket >= 0) { ::close(std::exchange(socket, -1)); }
}

void Connection::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

}  // namespace load
