// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pass/ring.hpp"

/// Encodes and decodes the records in the rings of a queue, which handoff-wire(7), THE QUEUE,
/// specifies. Both ends are on one host, so numbers have the byte order of the machine.
namespace handoff {

/// A request on its way to a worker.
struct QueueRequest {
  std::uint64_t ticket = 0;   ///< chosen by the master, and repeated in the reply
  std::int64_t deadline = 0;  ///< in nanoseconds of CLOCK_MONOTONIC; INT64_MAX for none
  std::string_view method;
  std::string_view params;  ///< JSON
  std::string_view id;      ///< JSON; empty if the request has none
  std::string_view peer;    ///< the address of the client, as text
};

/// A worker's answer: a result, or an error if `code` is not 0. If is_not_begun(), it is neither:
/// the worker has not begun the request, because the master has taken it back.
struct QueueReply {
  std::uint64_t ticket = 0;
  std::int32_t code = 0;
  std::string_view json;     ///< the result or the error's data
  std::string_view message;  ///< the error's message
  /// The time that the method took, in nanoseconds; 0 if it is not known.
  std::uint32_t duration = 0;

  bool is_not_begun() const { return duration == kNotBegun; }

  static constexpr std::uint32_t kNotBegun = 0xFFFF'FFFF;
  static constexpr std::uint32_t kLongestDuration = kNotBegun - 1;
};

/// The longest header of a record, in bytes; its texts follow.
inline constexpr std::size_t kQueueRecordSize = 32;

/// These write a record, which the other side sees after RingEnd::publish(). They return false if
/// the ring has no room for it now.
bool write_request(RingEnd& ring, const QueueRequest& request);
bool write_reply(RingEnd& ring, const QueueReply& reply);
bool write_not_begun(RingEnd& ring, std::uint64_t ticket);

/// These decode a record into views of it. They return nothing if its sizes do not fit; the caller
/// must judge the texts.
std::optional<QueueRequest> decode_request(std::string_view record);
std::optional<QueueReply> decode_reply(std::string_view record);

}  // namespace handoff
