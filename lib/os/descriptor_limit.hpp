// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace handoff {

/// Raises the soft limit of open descriptors to the hard one. Returns the soft limit as it
/// was, which children get back (see spawn()); later calls return the same.
std::size_t raise_descriptor_limit();

/// The soft limit that this process was started with.
std::size_t original_descriptor_limit();

/// The soft limit in force.
std::size_t descriptor_limit();

}  // namespace handoff
