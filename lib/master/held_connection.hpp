// SPDX-License-Identifier: MIT
#pragma once

#include "master/custody.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// A connection in the hands of a master, with the hold that counts it there.
struct HeldConnection {
  Connection connection{};
  Custody::Hold hold{};
  int deaths = 0;  ///< how many workers have died that had received it and not touched it
};

}  // namespace handoff
