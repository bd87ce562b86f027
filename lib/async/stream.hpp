// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>

namespace handoff {

/// What one attempt to read or write gave.
struct IoResult {
  enum class Outcome {
    done,  ///< `size` bytes, at least one unless none were to be written
    would_block,
    end,     ///< reading: the peer has ended its side
    broken,  ///< the connection or the device has failed; `error_number` says how
  };
  Outcome outcome;
  std::size_t size = 0;
  int error_number = 0;

  bool done() const { return outcome == Outcome::done; }
};

/// A descriptor that bytes go through, owned. Neither blocks nor changes the flags of the open
/// file: sockets are used with MSG_DONTWAIT, and what may be shared with other processes (a
/// standard stream) is asked with poll(2) first.
class Stream {
 public:
  enum class Kind : std::uint8_t {
    socket,
    nonblocking,  ///< O_NONBLOCK is set, and nobody else has this open file: our end of a pipe
    shared,       ///< anything, and its flags are not ours to change
  };

  /// What a descriptor of unknown origin is: a socket or `shared`.
  static Kind kind_of(int fd);

  Stream(Reactor& reactor, Fd fd, Kind kind)
      : fd_(std::move(fd)), kind_(kind), watcher_(reactor, fd_.get()) {}
  /// Classifies a descriptor of unknown origin.
  Stream(Reactor& reactor, Fd fd)
      : fd_(std::move(fd)), kind_(kind_of(fd_.get())), watcher_(reactor, fd_.get()) {}

  Reactor& reactor() const { return watcher_.reactor(); }
  int fd() const { return fd_.get(); }
  /// The descriptor, now owned by the caller. Only while nobody waits; of no use afterwards.
  Fd release() {
    watcher_.unwatch();
    return std::move(fd_);
  }

  /// Reads once what is there, up to the size of `buffer`, which is not empty. Never blocks.
  ///
  /// A failure of the other side is a result: `broken` with ECONNRESET, ETIMEDOUT and the like. A
  /// mistake of this program throws SystemError: EBADF if the descriptor is closed or not open for
  /// reading (but the writing end of a pipe, in the kind `shared`, is never ready), EFAULT, EINVAL,
  /// and ENOTSOCK for a wrong kind.
  IoResult try_read(std::span<char> buffer);
  /// Writes once, as much as there is room for; in the kind `shared` at most PIPE_BUF bytes. Never
  /// blocks, and throws what try_read() throws.
  ///
  /// A peer that reads no more is `broken` with EPIPE or ECONNRESET. Only a pipe raises SIGPIPE as
  /// well, in a program that does not ignore it.
  IoResult try_write(std::string_view bytes);

  /// See FdWatcher.
  auto readable() { return watcher_.readable(); }
  auto writable() { return watcher_.writable(); }
  /// Waits for EPOLLIN, EPOLLOUT or EPOLLHUP, as FdWatcher's readable(), writable() and hang_up().
  auto ready(std::uint32_t event) { return FdWatcher::Awaiter(watcher_, event); }
  bool hung_up() const { return watcher_.hung_up(); }
  /// Whether the peer has ended its side of a socket, and nothing is left to read.
  bool is_at_end() const;
  bool stops_short() const { return watcher_.stops_short(); }
  void interrupt() { watcher_.interrupt(); }
  FdWatcher& watcher() { return watcher_; }

  /// Waits for bytes: done, end or broken; would_block when the wait was interrupted. `buffer`
  /// must outlive the task.
  Task<IoResult> read_some(std::span<char> buffer);
  /// Writes all of `bytes`, which must outlive the task: done, broken, or would_block when a
  /// wait was interrupted.
  Task<IoResult> write_all(std::string_view bytes);

  /// Ends our side: the peer reads end-of-file. For sockets only; elsewhere nothing happens.
  void end_writing();

 private:
  Fd fd_;
  Kind kind_;
  FdWatcher watcher_;  // destroyed before the descriptor is closed
};

}  // namespace handoff
