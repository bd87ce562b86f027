// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pass/ring.hpp"

/// What stands in the rings of a queue: encode and decode. Both ends are on one host, so numbers
/// are as the machine has them.
namespace handoff {

/// A request on its way to a worker.
struct QueueRequest {
  std::uint64_t ticket = 0;   ///< the master's, echoed in the reply
  std::int64_t deadline = 0;  ///< in nanoseconds of CLOCK_MONOTONIC; INT64_MAX for none
  std::string_view method;
  std::string_view params;  ///< JSON
  std::string_view id;      ///< JSON, or empty
  std::string_view peer;    ///< the client's address as text
};

/// A worker's answer: a result, or an error when `code` is not 0; or, with neither, that it has not
/// begun the request, because the master has taken it back.
struct QueueReply {
  std::uint64_t ticket = 0;
  std::int32_t code = 0;
  std::string_view json;     ///< the result, or an error's data
  std::string_view message;  ///< of an error
  /// Nanoseconds that the method took; 0 when that is not known.
  std::uint32_t duration = 0;

  bool is_not_begun() const { return duration == kNotBegun; }

  static constexpr std::uint32_t kNotBegun = 0xFFFF'FFFF;
  static constexpr std::uint32_t kLongestDuration = kNotBegun - 1;
};

/// Bytes that a record has besides its texts.
inline constexpr std::size_t kQueueRecordSize = 32;

/// False when there is no room for it now.
bool write_request(RingEnd& ring, const QueueRequest& request);
bool write_reply(RingEnd& ring, const QueueReply& reply);
bool write_not_begun(RingEnd& ring, std::uint64_t ticket);

/// Views of the record. Nothing when its sizes do not fit; what the texts say is for the caller to
/// judge.
std::optional<QueueRequest> decode_request(std::string_view record);
std::optional<QueueReply> decode_reply(std::string_view record);

}  // namespace handoff
