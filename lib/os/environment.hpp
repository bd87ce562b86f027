// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// The one list of the environment variables that the programs read, remove, or give to those that
/// they start.
namespace variable {

// The channel between a master and what it starts; see handoff-wire(7).

/// The number of the descriptor that is a worker's channel to its master.
inline constexpr char kChannelFd[] = "HANDOFF_CHANNEL_FD";
/// The number by which the master calls a worker.
inline constexpr char kWorkerNumber[] = "HANDOFF_WORKER";
/// The number of the descriptor of a file that tells a master that succeeds another what it
/// inherits.
inline constexpr char kSuccession[] = "HANDOFF_SUCCESSION";

// What a program behind a method is told.

/// The name of the method that is called.
inline constexpr char kMethod[] = "RPC_METHOD";
/// The address of the client that calls, or "unix" for one that has none.
inline constexpr char kPeer[] = "RPC_PEER";
/// The id of the call as JSON; empty when it has none.
inline constexpr char kId[] = "RPC_ID";
/// What the names of the variables begin with that are the params of the call, with --args.
inline constexpr char kArgumentPrefix[] = "RPC_ARG_";
/// The mark that every process of a tree inherits; see ProcessMarks.
inline constexpr char kMark[] = "RPC_MARK";

// What a person sets up for the tools.

/// The server that rpc-call and rpc-ping speak to when none is named.
inline constexpr char kAddress[] = "RPC_ADDR";

// The protocols of a service manager.

/// The address of the manager's notification socket, sd_notify(3).
inline constexpr char kNotifySocket[] = "NOTIFY_SOCKET";
/// How long the manager waits for a sign of life, in microseconds, sd_watchdog_enabled(3).
inline constexpr char kWatchdogUsec[] = "WATCHDOG_USEC";
/// The process that WATCHDOG_USEC is meant for.
inline constexpr char kWatchdogPid[] = "WATCHDOG_PID";
/// How many descriptors a program has been given, from 3 on, sd_listen_fds(3).
inline constexpr char kListenFds[] = "LISTEN_FDS";
/// The process that LISTEN_FDS is meant for.
inline constexpr char kListenPid[] = "LISTEN_PID";
/// The names of those descriptors, with colons between them.
inline constexpr char kListenFdNames[] = "LISTEN_FDNAMES";
/// The device and the inode of the journal's end of standard error or output, systemd.exec(5).
inline constexpr char kJournalStream[] = "JOURNAL_STREAM";

// What a person or a login has set up. A program behind a method gets these.

/// The folders in which a program is looked for, with colons between them.
inline constexpr char kPath[] = "PATH";
/// The user's home folder.
inline constexpr char kHome[] = "HOME";
/// The name of the user.
inline constexpr char kUser[] = "USER";
/// The name of the user, as POSIX calls it.
inline constexpr char kLogname[] = "LOGNAME";
/// The user's login shell.
inline constexpr char kShell[] = "SHELL";
/// The locale for all that no other variable sets.
inline constexpr char kLang[] = "LANG";
/// The locale for everything.
inline constexpr char kLcAll[] = "LC_ALL";
/// The time zone.
inline constexpr char kTz[] = "TZ";
/// The folder for temporary files.
inline constexpr char kTmpdir[] = "TMPDIR";

// What is known of a connection. A program that serves one gets the first five, as UCSPI has it.

/// What kind of connection it is: TCP or UNIX.
inline constexpr char kProto[] = "PROTO";
/// The numeric address at the other end.
inline constexpr char kTcpRemoteIp[] = "TCPREMOTEIP";
/// The port at the other end.
inline constexpr char kTcpRemotePort[] = "TCPREMOTEPORT";
/// The numeric address at this end.
inline constexpr char kTcpLocalIp[] = "TCPLOCALIP";
/// The port at this end.
inline constexpr char kTcpLocalPort[] = "TCPLOCALPORT";
/// The version of TLS of a connection that a web server has accepted.
inline constexpr char kSslProtocol[] = "SSL_PROTOCOL";
/// The transport of a connection that ncat(1) has accepted.
inline constexpr char kNcatProto[] = "NCAT_PROTO";
/// The two ends of a connection that sshd(8) has accepted, in its older form.
inline constexpr char kSshClient[] = "SSH_CLIENT";
/// The two ends of a connection that sshd(8) has accepted.
inline constexpr char kSshConnection[] = "SSH_CONNECTION";

}  // namespace variable

/// The environment of a process to start: "NAME=value" each.
using Environment = std::vector<std::string>;

/// Returns the value of a variable of this process, or nothing if it is not set. No other thread
/// may change the environment meanwhile.
std::optional<std::string> read_variable(const std::string& name);
/// Removes a variable of this process. No other thread may use the environment meanwhile.
void remove_variable(const std::string& name);

/// Returns "NAME=value".
std::string assignment(std::string_view name, std::string_view value);
/// Sets the variable, and removes any other value that it has.
void set_variable(Environment& environment, std::string_view name, std::string_view value);

/// Returns the environment of this process without the variables that are addressed to it alone:
/// the service manager's and those that name inherited descriptors.
Environment inherited_environment();

}  // namespace handoff
