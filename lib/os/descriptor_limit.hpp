// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace handoff {

/// Raises the soft limit of open descriptors to the hard one. Returns the soft limit that the
/// process was started with, which spawn() gives back to children.
std::size_t raise_descriptor_limit();

/// Returns the soft limit that this process was started with. Call it, or raise_descriptor_limit(),
/// before anything changes the limit.
std::size_t original_descriptor_limit();

/// Returns the soft limit in force.
std::size_t descriptor_limit();

}  // namespace handoff
