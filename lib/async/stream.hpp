// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"

namespace handoff {

/// The result of one attempt to read or write.
struct IoResult {
  enum class Outcome {
    done,  ///< `size` bytes were transferred, at least one unless none were to be written
    would_block,
    end,     ///< while reading: the peer has ended its side
    broken,  ///< the connection or the device has failed; `error_number` is the errno
  };
  Outcome outcome;
  std::size_t size = 0;
  int error_number = 0;

  /// Returns whether bytes were transferred.
  bool done() const { return outcome == Outcome::done; }
};

/// Reads and writes the bytes of a descriptor that it owns. It neither blocks nor changes the flags
/// of the open file: sockets are used with MSG_DONTWAIT, and for what may be shared with other
/// processes (a standard stream) poll(2) is asked first.
///
/// interrupt(), which a deadline calls for example, ends the waits under way: read_some() and
/// write_all() then return would_block.
///
///     const WaitTimeout timeout(stream.watcher(), deadline);
///     const IoResult result = co_await stream.read_some(buffer);
///     if (timeout.passed()) { ... }
class Stream {
 public:
  /// How the descriptor is kept from blocking.
  enum class Kind : std::uint8_t {
    socket,
    nonblocking,  ///< O_NONBLOCK is set, and no other process has this open file: our end of a pipe
    shared,       ///< anything else; its flags are not ours to change
  };

  /// Returns the kind of a descriptor of unknown origin: `socket` or `shared`.
  static Kind kind_of(int fd);

  /// Takes over `fd`, which must be of this kind. The reactor must outlive the stream.
  Stream(Reactor& reactor, Fd fd, Kind kind)
      : fd_(std::move(fd)), kind_(kind), watcher_(reactor, fd_.get()) {}
  /// Takes over a descriptor of unknown origin, and finds out its kind.
  Stream(Reactor& reactor, Fd fd)
      : fd_(std::move(fd)), kind_(kind_of(fd_.get())), watcher_(reactor, fd_.get()) {}

  Reactor& reactor() const { return watcher_.reactor(); }
  int fd() const { return fd_.get(); }
  /// Returns the descriptor, which the caller then owns. No coroutine may wait for it, and the
  /// stream is of no use afterwards.
  Fd release() {
    watcher_.unwatch();
    return std::move(fd_);
  }

  /// Reads once, at most as many bytes as `buffer` has, which must not be empty. Never blocks.
  ///
  /// A failure of the other side is a result: `broken` with ECONNRESET, ETIMEDOUT and the like. A
  /// mistake of this program throws SystemError: EBADF if the descriptor is closed or not open for
  /// reading (but the writing end of a pipe, in the kind `shared`, is never ready), EFAULT, EINVAL,
  /// and ENOTSOCK for a wrong kind.
  IoResult try_read(std::span<char> buffer);
  /// Writes once, as much as there is room for; in the kind `shared` at most PIPE_BUF bytes,
  /// because a pipe that poll(2) reports as writable has room for those (pipe(7)). Never blocks,
  /// and throws what try_read() throws.
  ///
  /// If the peer reads no more, the result is `broken` with EPIPE or ECONNRESET. Only for a pipe
  /// the kernel also raises SIGPIPE, unless the program ignores it.
  IoResult try_write(std::string_view bytes);

  /// These wait as FdWatcher's functions of the same names do; false means interrupted.
  auto readable() { return watcher_.readable(); }
  auto writable() { return watcher_.writable(); }
  /// Waits for EPOLLIN, EPOLLOUT or EPOLLHUP, as FdWatcher's readable(), writable() and hang_up()
  /// do.
  auto ready(std::uint32_t event) { return FdWatcher::Awaiter(watcher_, event); }
  /// Returns whether the peer has hung up; see FdWatcher.
  bool hung_up() const { return watcher_.hung_up(); }
  /// Returns whether the peer has ended its side of a socket and nothing is left to read. Costs a
  /// system call.
  bool is_at_end() const;
  /// Returns whether a short read does not mean that the socket is empty; see FdWatcher.
  bool stops_short() const { return watcher_.stops_short(); }
  /// Ends the waits under way; see FdWatcher.
  void interrupt() { watcher_.interrupt(); }
  /// The watcher of the descriptor, for a WaitTimeout. Valid for as long as the stream.
  FdWatcher& watcher() { return watcher_; }

  /// Waits for bytes and reads at most as many as `buffer` has. The outcome is done, end or broken;
  /// would_block if the wait was interrupted. The stream and `buffer` must outlive the task.
  Task<IoResult> read_some(std::span<char> buffer);
  /// Writes all of `bytes`. The outcome is done, broken, or would_block if a wait was interrupted;
  /// part of the bytes may then be written. The stream and `bytes` must outlive the task.
  Task<IoResult> write_all(std::string_view bytes);

  /// Ends this side of a socket: the peer reads end-of-file. Other descriptors are not changed.
  void end_writing();

 private:
  Fd fd_;
  Kind kind_;
  FdWatcher watcher_;  // destroyed before the descriptor is closed
};

}  // namespace handoff
