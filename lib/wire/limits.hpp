// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The one list of what a peer can make a program accept, hold or wait for. A limit that an option
/// sets is the option's default. Sizes are in bytes. After each limit stands the section of
/// handoff-wire(7) that documents it; a test compares the two.
namespace handoff::limits {

// Frames and messages.

/// The longest body in bytes, of a request or a reply; `--max-frame` (LIMITS).
inline constexpr std::uint32_t kMaxFrame = 1024 * 1024;

/// The highest value of `--max-frame`, in bytes. Any four bytes of text, read as a length, are
/// above it: that is how a server tells lines from lengths (THE FRAME, LIMITS).
inline constexpr std::uint32_t kHighestMaxFrame = 128 * 1024 * 1024;

/// The most requests in one batch of JSON-RPC (MESSAGES, LIMITS).
inline constexpr std::size_t kMaxBatch = 1024;

/// The most arrays and objects around a value, the message included (MESSAGES).
inline constexpr int kMaxDepth = 64;

// What a connection may make a server hold or wait for.

/// The time from a frame's first byte to its last; `--frame-timeout` (LIMITS).
inline constexpr std::chrono::seconds kFrameTimeout{30};

/// The time in which a client must take some bytes of its replies; `--write-timeout` (LIMITS).
inline constexpr std::chrono::seconds kWriteTimeout{30};

/// The time that a call may take; `--timeout` (LIMITS).
inline constexpr std::chrono::seconds kCallTimeout{30};

/// The time in which a refused client can read why, before its connection is closed (LIMITS).
inline constexpr std::chrono::seconds kLingerTimeout{1};

/// The most calls of one connection that run or wait (LIMITS).
inline constexpr std::size_t kMaxCallsOfConnection = 128;

/// The most calls of one connection that run while the server does not know how long their replies
/// are (LIMITS).
inline constexpr std::size_t kFirstCalls = 16;

/// The most bytes that one connection makes a process hold; two frames of `--max-frame`, if those
/// are more (LIMITS).
inline constexpr std::size_t kMaxConnectionMemory = std::size_t{8} << 20;

/// The most bytes of replies that a client has not taken; the server reads nothing from the client
/// while there are more. A connection that is passed on may have this many bytes more than
/// kMaxConnectionMemory (THE CHANNEL).
inline constexpr std::size_t kMaxUnsent = std::size_t{1} << 20;

// What all connections may make a process hold.

/// The most calls that run in one worker; `--concurrency` (LIMITS).
inline constexpr std::size_t kMaxRunningCalls = 256;

/// The most calls that wait to run, and the most connections that wait for memory (LIMITS).
inline constexpr std::size_t kMaxWaitingCalls = 1024;

/// The most bytes that all connections together make a process hold; `--max-memory` (LIMITS).
inline constexpr std::size_t kMaxMemory = std::size_t{256} << 20;

// The header of a proxy, with `--proxy-from`.

/// The time in which the whole header must arrive, from the accepting of the connection (THE PROXY
/// HEADER, LIMITS).
inline constexpr std::chrono::seconds kProxyHeaderTimeout{3};

/// The most connections of one process whose header is awaited (LIMITS).
inline constexpr std::size_t kMaxAwaitedProxyHeaders = 1024;

/// The longest line of version 1, with its CRLF (THE PROXY HEADER, LIMITS).
inline constexpr std::size_t kMaxProxyLine = 107;

/// The most bytes that follow the first 16 of version 2: the addresses, and what else the proxy
/// tells (THE PROXY HEADER, LIMITS).
inline constexpr std::size_t kMaxProxyBlock = 4096;

// What a master allows.

/// The time in which a worker must answer its master; `--hang-timeout` (LIMITS).
inline constexpr std::chrono::seconds kHangTimeout{60};

/// The most requests in a queue, waiting or running; `--queue-limit` (LIMITS).
inline constexpr std::size_t kMaxQueuedRequests = 1024;

// Status over HTTP, with `--status`.

/// The time in which a request must arrive, and again that in which its reply must be taken
/// (LIMITS).
inline constexpr std::chrono::seconds kStatusTimeout{3};

/// The longest head of a request: its first line, its fields, and the empty line (LIMITS).
inline constexpr std::size_t kMaxStatusRequest = 4096;

/// The most connections at a time; further ones are closed at once (LIMITS).
inline constexpr std::size_t kMaxStatusConnections = 16;

// The channel between master and worker.

/// The longest message (THE CHANNEL).
inline constexpr std::size_t kMaxChannelMessage = 128 * 1024;

/// The most entries of a message, each of which is a connection with its socket; also the most
/// listeners (THE CHANNEL).
inline constexpr std::size_t kMaxEntries = 16;

/// The most descriptors of a message: each entry has a socket, and a memfd with the bytes that are
/// aside (THE CHANNEL).
inline constexpr std::size_t kMaxEntryDescriptors = 2 * kMaxEntries;

/// The most bytes of an entry that were read, not used, and travel inside the message; more of them
/// go aside (THE CHANNEL).
inline constexpr std::size_t kMaxReadInEntry = 64 * 1024;

/// The most bytes of a reply that an entry brings along, which the master owes the client of a
/// worker that has died (THE CHANNEL).
inline constexpr std::size_t kMaxOwedReply = 1024;

/// The most bytes of an entry that are aside: an incomplete frame, and what was received together
/// with its start (THE CHANNEL).
inline constexpr std::size_t kMaxAside = std::size_t{kHighestMaxFrame} + 1024 * 1024;

/// The most bytes that workers have read and not used, of connections that a master has taken back
/// and not yet passed on; with as many the master takes no more back (THE CHANNEL).
inline constexpr std::size_t kMaxUnread = std::size_t{256} << 20;

// Handovers.

/// The most descriptors of a message: SCM_MAX_FD, the limit of the kernel (THE HANDOVER).
inline constexpr std::size_t kMaxDescriptors = 253;

/// The longest name of a descriptor; its length is one byte (THE HANDOVER).
inline constexpr std::size_t kMaxName = 255;

/// The longest message: its header, and a name of the greatest length for each descriptor (THE
/// HANDOVER).
inline constexpr std::size_t kMaxHandover = 8 + kMaxDescriptors * (1 + kMaxName);

/// The most senders that are connected to fdrecv at a time; further ones wait in the backlog
/// (LIMITS).
inline constexpr std::size_t kMaxSenders = 64;

/// The time in which a sender's whole message must arrive, once fdrecv has accepted the sender
/// (LIMITS).
inline constexpr std::chrono::seconds kSenderTimeout{10};

}  // namespace handoff::limits
