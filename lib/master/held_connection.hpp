// SPDX-License-Identifier: MIT
#pragma once

#include "pass/connection.hpp"
#include "rpc/custody.hpp"

namespace handoff {

/// A connection in the hands of a master, and what counts it there.
struct HeldConnection {
  Connection connection{};
  Custody::Hold hold{};
};

}  // namespace handoff
