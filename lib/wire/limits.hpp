// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The one list of what a peer can make a program take, hold or wait for. Where a program has an
/// option for a limit, the constant is the option's default. Each comment ends with the section of
/// handoff-wire(7) that documents the limit; a test compares the two.
namespace handoff::limits {

// Frames and messages.

/// A body, also of a reply, has at most this many bytes; `--max-frame` (LIMITS).
inline constexpr std::uint32_t kMaxFrame = 1024 * 1024;

/// With any `--max-frame` a body has at most this many bytes. Any four bytes of text, read as a
/// length, are above it: that is how lines are told from lengths (THE FRAME, LIMITS).
inline constexpr std::uint32_t kHighestMaxFrame = 128 * 1024 * 1024;

/// A batch of JSON-RPC has at most this many requests (MESSAGES, LIMITS).
inline constexpr std::size_t kMaxBatch = 1024;

/// A value has at most this many arrays and objects around it, the message included (MESSAGES).
inline constexpr int kMaxDepth = 64;

// What a connection may make a server hold or wait for.

/// A frame takes at most this long from its first byte to its last; `--frame-timeout` (LIMITS).
inline constexpr std::chrono::seconds kFrameTimeout{30};

/// A client takes some bytes of its replies within this time; `--write-timeout` (LIMITS).
inline constexpr std::chrono::seconds kWriteTimeout{30};

/// A call takes at most this long; `--timeout` (LIMITS).
inline constexpr std::chrono::seconds kCallTimeout{30};

/// A refused client has this long to read why, before its connection is closed (LIMITS).
inline constexpr std::chrono::seconds kLingerTimeout{1};

/// A connection has at most this many calls that run or wait (LIMITS).
inline constexpr std::size_t kMaxCallsOfConnection = 128;

/// This many calls of one connection run while nothing is known of the length of its replies
/// (LIMITS).
inline constexpr std::size_t kFirstCalls = 16;

/// A connection makes a process hold at most this many bytes, or two frames of `--max-frame`, if
/// those are more (LIMITS).
inline constexpr std::size_t kMaxConnectionMemory = std::size_t{8} << 20;

/// While a client has not taken this many bytes of its replies, nothing is read from it. A
/// connection that is passed on may have this many bytes more than kMaxConnectionMemory (THE
/// CHANNEL).
inline constexpr std::size_t kMaxUnsent = std::size_t{1} << 20;

// What all connections may make a process hold.

/// This many calls run in one worker at a time; `--concurrency` (LIMITS).
inline constexpr std::size_t kMaxRunningCalls = 256;

/// At most this many calls wait to run, and this many connections for memory (LIMITS).
inline constexpr std::size_t kMaxWaitingCalls = 1024;

/// All connections together make a process hold at most this many bytes; `--max-memory` (LIMITS).
inline constexpr std::size_t kMaxMemory = std::size_t{256} << 20;

// What a master allows.

/// A worker answers its master within this time; `--hang-timeout` (LIMITS).
inline constexpr std::chrono::seconds kHangTimeout{60};

/// A queue has at most this many requests, waiting or running; `--queue-limit` (LIMITS).
inline constexpr std::size_t kMaxQueuedRequests = 1024;

// The channel between master and worker.

/// A message of the channel has at most this many bytes (THE CHANNEL).
inline constexpr std::size_t kMaxChannelMessage = 128 * 1024;

/// A message has at most this many entries, each a connection with its socket, or this many
/// listeners (THE CHANNEL).
inline constexpr std::size_t kMaxEntries = 16;

/// A message has at most this many descriptors: of each entry the socket, and the bytes that it has
/// aside (THE CHANNEL).
inline constexpr std::size_t kMaxEntryDescriptors = 2 * kMaxEntries;

/// This many bytes of an entry that were read and not used travel in the message; more of them go
/// aside (THE CHANNEL).
inline constexpr std::size_t kMaxReadInEntry = 64 * 1024;

/// An entry brings along at most this many bytes of a reply, which the master owes the client of a
/// worker that has died (THE CHANNEL).
inline constexpr std::size_t kMaxOwedReply = 1024;

/// An entry has at most this many bytes aside: a frame that is not yet whole, and what was received
/// with its start (THE CHANNEL).
inline constexpr std::size_t kMaxAside = std::size_t{kHighestMaxFrame} + 1024 * 1024;

/// A master that holds this many bytes which workers have read and not used, of the connections
/// that it has taken back and not passed on, takes no more back (THE CHANNEL).
inline constexpr std::size_t kMaxUnread = std::size_t{256} << 20;

// Handovers.

/// A message has at most this many descriptors: the kernel allows no more, SCM_MAX_FD (HANDOVER).
inline constexpr std::size_t kMaxDescriptors = 253;

/// A descriptor's name, whose length is one byte, has at most this many bytes (HANDOVER).
inline constexpr std::size_t kMaxName = 255;

/// A message has at most this many bytes: its header, and a name of the greatest length for each
/// descriptor (HANDOVER).
inline constexpr std::size_t kMaxHandover = 8 + kMaxDescriptors * (1 + kMaxName);

/// This many senders are connected to fdrecv at a time; further ones wait in the backlog (LIMITS).
inline constexpr std::size_t kMaxSenders = 64;

/// A sender has this long for its whole message, once fdrecv has accepted it (LIMITS).
inline constexpr std::chrono::seconds kSenderTimeout{10};

}  // namespace handoff::limits
