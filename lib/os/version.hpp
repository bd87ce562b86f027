// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Of the whole project; the build fails when it is not the one that CMakeLists.txt names.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace handoff
