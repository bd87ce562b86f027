// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "cli/exit_status.hpp"
#include "cli/stderr_log.hpp"
#include "commands/rendezvous.hpp"
#include "os/address.hpp"
#include "os/signals.hpp"
#include "pass/sources.hpp"

namespace handoff {

/// The origin of one descriptor that fdsend sends.
struct Source {
  enum class Kind { inherited, file, tcp_listen, tcp_connect, process, listener };
  Kind kind = Kind::inherited;
  std::string word;  ///< what the user wrote: a number, a path, an address, or PID:FD
  int pid = 0;       ///< of a listener: the process that has it
};

/// The options of fdsend; the manual page says more about each.
struct SendOptions {
  RendezvousOptions rendezvous;
  std::vector<Source> sources;  ///< empty: descriptor 0
  std::vector<std::string> names;
  OpenMode open_mode = OpenMode::read;
  bool allow_public = false;
  bool keep = false;  ///< serves each process that connects, until a signal
  bool confirm = false;
  char byte = 0;  ///< the byte of a message without names
};

/// The work of fdsend: opens what is to be sent, meets the receiver, sends.
///
///     std::optional<SignalMask> signals;     // destroyed after the command has removed its name
///     SendCommand command(reactor, options, log);
///     reactor.run(command.open_sources());   // a signal still ends the process here
///     signals.emplace(ending_signals({SIGTERM, SIGINT, SIGHUP}));
///     return reactor.run_for_result(command.run(*signals));
class SendCommand {
 public:
  /// Throws InvalidArgument if options do not go together. The reactor and `log` must outlive this
  /// object.
  SendCommand(Reactor& reactor, SendOptions options, StderrLog& log);
  SendCommand(const SendCommand&) = delete;
  SendCommand& operator=(const SendCommand&) = delete;

  /// Opens what is to be sent. May block in open(2), where a signal must still end the process as
  /// usual, so call it before signals are blocked. Throws InvalidArgument, SystemError, or what
  /// connect_to() throws. This object must outlive the task.
  Task<void> open_sources();
  /// Sends to one receiver, or with `keep` to each that connects until a signal ends it; failures
  /// of single receivers are then logged. Without `keep` a signal that ends the wait is raised
  /// again, and arrives when `signals` is destroyed; destroy it after this object, which removes
  /// the socket's name. Throws what Rendezvous::next() throws, and ProtocolError, TimedOut or
  /// SystemError for a failure of the only receiver. This object and `signals` must outlive the
  /// reactor's run.
  Task<ExitCode> run(const SignalMask& signals);

 private:
  void handle_signal(const ReceivedSignal& signal);
  /// Empties the files that --open-mode write names, before the first receiver gets them.
  void empty_files();
  /// Opens one source. `source` must outlive the task.
  Task<Fd> open(const Source& source);
  /// Logs the other addresses of a name, which are not listened on.
  void tell_of_others(const Address& address) const;
  /// Sends to one receiver of many and closes its connection.
  Task<void> serve(Fd socket);
  /// Sends the message and, if asked to, waits for the confirmation.
  Task<void> send(int socket);
  Task<void> await_confirmation(FdWatcher& watcher);

  Reactor& reactor_;
  SendOptions options_;
  StderrLog& log_;
  LimitedLine report_failed_;  ///< failures of receivers, where there may be many
  std::optional<Rendezvous> rendezvous_;
  TimePoint deadline_ = kNever;
  /// The descriptors to send, owned until the end, and the message that goes with them.
  std::vector<Fd> descriptors_;
  bool emptied_ = false;  ///< the files of --open-mode write
  std::string message_;
};

}  // namespace handoff
