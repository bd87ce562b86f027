// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "os/fd.hpp"

namespace handoff {

/// A file in memory (memfd_create(2)) that holds `bytes`, positioned at its start, sealed: whoever
/// gets it can read it and never change it. `name` shows in /proc for those who debug.
Fd make_sealed_file(const char* name, std::string_view bytes);

}  // namespace handoff
