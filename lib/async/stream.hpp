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

/// The result of one attempt to read or write.
struct IoResult {
  enum class Outcome {
    done,         ///< `size` bytes, at least one unless none were to be written
    would_block,  ///< nothing now: wait until it is readable or writable
    end,          ///< reading: the peer has ended its side
    broken,       ///< the connection or the device has failed; `error_number` says how
  };
  Outcome outcome;
  std::size_t size = 0;  ///< bytes, of `done` only
  int error_number = 0;  ///< an errno value, of `broken` only

  bool done() const { return outcome == Outcome::done; }
};

/// A descriptor that bytes go through, and its owner. It neither blocks nor changes the flags of
/// the open file: it uses sockets with MSG_DONTWAIT, and asks poll(2) first about a file that other
/// processes may share, such as a standard stream.
class Stream {
 public:
  enum class Kind : std::uint8_t {
    socket,       ///< a socket of any family
    nonblocking,  ///< O_NONBLOCK is set, and no other process has this open file: one end of a pipe
    shared,       ///< any file; its flags are not to be changed
  };

  /// Returns what a descriptor of unknown origin is taken for: `socket` or `shared`.
  static Kind kind_of(int fd);

  /// The reactor must outlive the stream.
  Stream(Reactor& reactor, Fd fd, Kind kind)
      : fd_(std::move(fd)), kind_(kind), watcher_(reactor, fd_.get()) {}
  /// Classifies a descriptor of unknown origin.
  Stream(Reactor& reactor, Fd fd)
      : fd_(std::move(fd)), kind_(kind_of(fd_.get())), watcher_(reactor, fd_.get()) {}

  Reactor& reactor() const { return watcher_.reactor(); }
  /// The descriptor, which stays the stream's.
  int fd() const { return fd_.get(); }
  /// Gives the descriptor to the caller. No coroutine may wait for it, and the stream is of no use
  /// afterwards.
  Fd release() {
    watcher_.unwatch();
    return std::move(fd_);
  }

  /// Reads once what is there, up to the size of `buffer`, which is not empty. It never blocks.
  ///
  /// A failure of the other side is a result: `broken` with ECONNRESET, ETIMEDOUT and the like. A
  /// mistake of this program throws SystemError: EBADF if the descriptor is closed or not open for
  /// reading (but the writing end of a pipe, in the kind `shared`, is never ready), EFAULT, EINVAL,
  /// and ENOTSOCK for a wrong kind.
  IoResult try_read(std::span<char> buffer);
  /// Writes once, as much as there is room for; in the kind `shared` at most PIPE_BUF bytes. It
  /// never blocks, and throws what try_read() throws.
  ///
  /// A peer that reads no more is `broken` with EPIPE or ECONNRESET. Only a pipe raises SIGPIPE as
  /// well, in a program that does not ignore it.
  IoResult try_write(std::string_view bytes);

  /// Wait as FdWatcher::readable() and writable() do.
  auto readable() { return watcher_.readable(); }
  auto writable() { return watcher_.writable(); }
  /// Waits for EPOLLIN, EPOLLOUT or EPOLLHUP, as FdWatcher's readable(), writable() and hang_up()
  /// do.
  auto ready(std::uint32_t event) { return FdWatcher::Awaiter(watcher_, event); }
  /// Tell what FdWatcher's functions of these names tell.
  bool hung_up() const { return watcher_.hung_up(); }
  bool stops_short() const { return watcher_.stops_short(); }
  /// Ends the waits under way, as FdWatcher::interrupt() does.
  void interrupt() { watcher_.interrupt(); }
  /// Returns whether the peer has ended its side of a socket, and nothing is left to read.
  bool is_at_end() const;
  /// The watcher of the descriptor, for a WaitTimeout.
  FdWatcher& watcher() { return watcher_; }

  /// Waits for bytes and reads them. The task gives done, end or broken, or would_block when the
  /// wait was interrupted. `buffer` and the stream must outlive the task.
  Task<IoResult> read_some(std::span<char> buffer);
  /// Writes all of `bytes`, which must outlive the task, as the stream must. The task gives done,
  /// broken, or would_block when a wait was interrupted.
  Task<IoResult> write_all(std::string_view bytes);

  /// Ends this side of a socket: the peer reads end-of-file, and reading goes on. On another kind
  /// of file nothing happens.
  void end_writing();

 private:
  Fd fd_;
  Kind kind_;
  FdWatcher watcher_;  // destroyed before the descriptor is closed
};

}  // namespace handoff
