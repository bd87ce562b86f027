// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace handoff::frame {

/// The longest body that is accepted unless `--max-frame` says otherwise.
inline constexpr std::uint32_t kDefaultMaxBody = 1024 * 1024;

/// The highest `--max-frame`. Any four bytes of text, read as a length, are above it: that is how
/// lines are told from lengths.
inline constexpr std::uint32_t kHighestMaxBody = 128 * 1024 * 1024;

/// Requests in one batch of JSON-RPC.
inline constexpr std::size_t kMaxBatch = 1024;

/// How deep arrays and objects may nest in a body.
inline constexpr int kMaxDepth = 64;

}  // namespace handoff::frame
