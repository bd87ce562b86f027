// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// The version of the whole project. The build fails if it is not the one that CMakeLists.txt
/// names.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace handoff
