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

/// One attempt to connect. Attempts (async/attempts.hpp) repeats it.
namespace handoff {

/// An attempt has failed, for a reason that lies with the peer, the network or the name service.
/// `what()` reads "cannot connect to 127.0.0.1:80: Connection refused", with the limit in it when
/// attempts were repeated until that passed: "cannot connect to 127.0.0.1:80 within 2s: ...".
class CannotConnect : public Unreachable {
 public:
  /// `attempt` reads "cannot connect to 127.0.0.1:80".
  CannotConnect(std::string_view attempt, ConnectFailure failure, const TimeLimit& passed = {});

  const std::string& attempt() const { return attempt_; }
  const ConnectFailure& failure() const { return failure_; }

 private:
  std::string attempt_;
  ConnectFailure failure_;
};

/// This host has no local port left for a connection. It has nothing to do with the server.
class NoLocalPort : public CannotConnect {
 public:
  explicit NoLocalPort(const Address& address);
};

/// The limit has passed before anything answered.
class ConnectTimedOut : public TimedOut {
 public:
  ConnectTimedOut(std::string_view attempt, std::string reason, const TimeLimit& limit);

  const std::string& attempt() const { return attempt_; }
  /// "no answer"
  const std::string& reason() const { return reason_; }

 private:
  std::string attempt_;
  std::string reason_;
};

/// "cannot connect to ADDRESS"
std::string cannot_connect_to(const Address& address);

/// What connect_to() gives: a socket, and for exec: the process behind it.
struct DialedSocket {
  Fd socket;
  std::optional<Child> child;
};

/// Where the command of exec: runs.
enum class CommandSession : std::uint8_t {
  ours,  ///< a tool's: ^C ends both, and it may ask for a password at the terminal
  own,   ///< a server's: what it leaves in the background is an orphan that reap_orphans() knows
};

struct ConnectOptions {
  int type = SOCK_STREAM;
  CommandSession session = CommandSession::ours;
  Resolver& resolver = Resolver::system();
  Duration attempt_delay = kAttemptDelay;  ///< between the addresses of a name
};

/// Connects to `address` with a socket of this type; the reactor, the address and the resolver must
/// outlive the task. The addresses of a name are raced; see race_addresses(). A descriptor (fd:N)
/// is taken as it is; exec:COMMAND runs `sh -c COMMAND` with a socket as its stdin and stdout.
///
/// The limit is that of the lookup and of connecting together. While a Unix listener's backlog is
/// full, a place in it is waited for. Throws CannotConnect (NoLocalPort if it is that),
/// ConnectTimedOut or SystemError.
Task<DialedSocket> connect_to(Reactor& reactor, const Address& address, TimeLimit limit,
                              ConnectOptions options = {});

}  // namespace handoff
