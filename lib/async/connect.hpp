// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "async/address_race.hpp"
#include "async/reactor.hpp"
#include "async/resolver.hpp"
#include "async/task.hpp"
#include "async/time_limit.hpp"
#include "os/address.hpp"
#include "os/child.hpp"
#include "os/connect_failure.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"

/// A single attempt to connect. Attempts, in async/attempts.hpp, repeats it.
namespace handoff {

/// Thrown when an attempt has failed for a reason that lies with the peer, the network or the name
/// service. `what()` reads "cannot connect to 127.0.0.1:80: Connection refused". If attempts were
/// repeated until a limit, it names that: "cannot connect to 127.0.0.1:80 within 2s: ...".
class CannotConnect : public Unreachable {
 public:
  /// `attempt` reads "cannot connect to 127.0.0.1:80". `passed` is the limit that has passed, if
  /// any.
  CannotConnect(std::string_view attempt, ConnectFailure failure, const TimeLimit& passed = {});

  const std::string& attempt() const { return attempt_; }
  const ConnectFailure& failure() const { return failure_; }

 private:
  std::string attempt_;
  ConnectFailure failure_;
};

/// Thrown when this host has no local port left for a connection. The server may be well.
class NoLocalPort : public CannotConnect {
 public:
  explicit NoLocalPort(const Address& address);
};

/// Thrown when the limit has passed before anything answered.
class ConnectTimedOut : public TimedOut {
 public:
  ConnectTimedOut(std::string_view attempt, std::string reason, const TimeLimit& limit);

  const std::string& attempt() const { return attempt_; }
  /// The reason without the attempt: "no answer", for example.
  const std::string& reason() const { return reason_; }

 private:
  std::string attempt_;
  std::string reason_;
};

/// Returns "cannot connect to ADDRESS", with the address as the user wrote it.
std::string cannot_connect_to(const Address& address);

/// What connect_to() returns: a socket, and the command at its other end if the address is exec:.
/// The caller owns both.
struct DialedSocket {
  Fd socket;
  std::optional<Child> child;
};

/// The session in which the command of an exec: address runs.
enum class CommandSession : std::uint8_t {
  ours,  ///< that of a tool: ^C ends both, and the command may ask for a password at the terminal
  own,   ///< one of its own, for a server: reap_orphans() finds what the command leaves in the
         ///< background
};

/// How connect_to() connects. The resolver must outlive the task.
struct ConnectOptions {
  int type = SOCK_STREAM;
  CommandSession session = CommandSession::ours;
  Resolver& resolver = Resolver::system();
  Duration attempt_delay = kAttemptDelay;  ///< between the addresses of one name
};

/// Connects to `address` with a socket of the given type, which is close-on-exec; use it through
/// Stream, because it depends on the kind of address whether it blocks. A descriptor (fd:N) is
/// returned as it is and is then owned by the caller. The addresses of a name are raced; see
/// race_addresses(). exec:COMMAND runs `sh -c COMMAND` with a socket as its stdin and stdout.
///
/// The limit covers the lookup and the connecting together. While the backlog of a Unix listener is
/// full, connect_to() waits for a place in it. Throws CannotConnect (NoLocalPort if that is the
/// reason), ConnectTimedOut, or SystemError if this process fails to make what it needs. The
/// reactor, the address and the resolver must outlive the task.
Task<DialedSocket> connect_to(Reactor& reactor, const Address& address, TimeLimit limit,
                              ConnectOptions options = {});

}  // namespace handoff
