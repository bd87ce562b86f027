// SPDX-License-Identifier: MIT
#pragma once

#include "master/custody.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// A connection in the hands of a master, and what counts it there.
struct HeldConnection {
  Connection connection{};
  Custody::Hold hold{};
  int deaths = 0;  ///< of workers that had received it and did not touch it
};

}  // namespace handoff
