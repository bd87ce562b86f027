// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The one list of what a peer can make a program take, hold or wait for. A limit with an option is
/// the option's default. After each stands the section of handoff-wire(7) that documents it; a test
/// compares the two.
namespace handoff::limits {

// Frames and messages.

/// Bytes of a body, also of a reply; `--max-frame` (LIMITS).
inline constexpr std::uint32_t kMaxFrame = 1024 * 1024;

/// Bytes of a body with any `--max-frame`. Any four bytes of text, read as a length, are above it:
/// that is how lines are told from lengths (THE FRAME, LIMITS).
inline constexpr std::uint32_t kHighestMaxFrame = 128 * 1024 * 1024;

/// Requests in one batch of JSON-RPC (MESSAGES, LIMITS).
inline constexpr std::size_t kMaxBatch = 1024;

/// Arrays and objects around a value, the message included (MESSAGES).
inline constexpr int kMaxDepth = 64;

// What a connection may make a server hold or wait for.

/// From a frame's first byte to its last; `--frame-timeout` (LIMITS).
inline constexpr std::chrono::seconds kFrameTimeout{30};

/// For a client to take some bytes of its replies; `--write-timeout` (LIMITS).
inline constexpr std::chrono::seconds kWriteTimeout{30};

/// Of a call; `--timeout` (LIMITS).
inline constexpr std::chrono::seconds kCallTimeout{30};

/// For a refused client to read why, before its connection is closed (LIMITS).
inline constexpr std::chrono::seconds kLingerTimeout{1};

/// Calls of one connection that run or wait (LIMITS).
inline constexpr std::size_t kMaxCallsOfConnection = 128;

/// Calls of one connection that run while nothing is known of the length of its replies (LIMITS).
inline constexpr std::size_t kFirstCalls = 16;

/// Bytes that one connection makes a process hold; two frames of `--max-frame`, if those are more
/// (LIMITS).
inline constexpr std::size_t kMaxConnectionMemory = std::size_t{8} << 20;

/// Bytes of replies that a client has not taken; nothing is read from it meanwhile. A connection
/// that is passed on may have so many bytes more than kMaxConnectionMemory (THE CHANNEL).
inline constexpr std::size_t kMaxUnsent = std::size_t{1} << 20;

// What all connections may make a process hold.

/// Calls that run in one worker; `--concurrency` (LIMITS).
inline constexpr std::size_t kMaxRunningCalls = 256;

/// Calls that wait to run, and connections that wait for memory (LIMITS).
inline constexpr std::size_t kMaxWaitingCalls = 1024;

/// Bytes; `--max-memory` (LIMITS).
inline constexpr std::size_t kMaxMemory = std::size_t{256} << 20;

// What a master allows.

/// For a worker to answer its master; `--hang-timeout` (LIMITS).
inline constexpr std::chrono::seconds kHangTimeout{60};

/// Requests in a queue, waiting or running; `--queue-limit` (LIMITS).
inline constexpr std::size_t kMaxQueuedRequests = 1024;

// The channel between master and worker.

/// Bytes of a message (THE CHANNEL).
inline constexpr std::size_t kMaxChannelMessage = 128 * 1024;

/// Entries of a message, each a connection with its socket; also listeners (THE CHANNEL).
inline constexpr std::size_t kMaxEntries = 16;

/// Descriptors of a message: of each entry the socket, and the bytes that it has aside (THE
/// CHANNEL).
inline constexpr std::size_t kMaxEntryDescriptors = 2 * kMaxEntries;

/// Bytes of an entry that were read and not used and travel in the message; more of them go aside
/// (THE CHANNEL).
inline constexpr std::size_t kMaxReadInEntry = 64 * 1024;

/// Bytes of a reply that an entry brings along, which the master owes the client of a worker that
/// has died (THE CHANNEL).
inline constexpr std::size_t kMaxOwedReply = 1024;

/// Bytes of an entry that are aside: a frame that is not yet whole, and what was received with its
/// start (THE CHANNEL).
inline constexpr std::size_t kMaxAside = std::size_t{kHighestMaxFrame} + 1024 * 1024;

/// Bytes that workers have read and not used, of the connections that a master has taken back and
/// not passed on; with as many it takes no more back (THE CHANNEL).
inline constexpr std::size_t kMaxUnread = std::size_t{256} << 20;

// Handovers.

/// Descriptors of a message: what the kernel allows, SCM_MAX_FD (HANDOVER).
inline constexpr std::size_t kMaxDescriptors = 253;

/// Bytes of a descriptor's name, whose length is one byte (HANDOVER).
inline constexpr std::size_t kMaxName = 255;

/// Bytes of a message: its header, and a name of the greatest length for each descriptor
/// (HANDOVER).
inline constexpr std::size_t kMaxHandover = 8 + kMaxDescriptors * (1 + kMaxName);

/// Senders that are connected to fdrecv at a time; further ones wait in the backlog (LIMITS).
inline constexpr std::size_t kMaxSenders = 64;

/// For a sender's whole message, once fdrecv has accepted it (LIMITS).
inline constexpr std::chrono::seconds kSenderTimeout{10};

}  // namespace handoff::limits
