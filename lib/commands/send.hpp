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

/// Where one descriptor to send comes from.
struct Source {
  enum class Kind { inherited, file, tcp_listen, tcp_connect, process };
  Kind kind = Kind::inherited;
  std::string word;  ///< as the user wrote it: a number, a path, an address, PID:FD
};

struct SendOptions {
  RendezvousOptions rendezvous;
  std::vector<Source> sources;  ///< none: descriptor 0
  std::vector<std::string> names;
  OpenMode open_mode = OpenMode::read;
  bool allow_public = false;
  bool keep = false;  ///< serve every asker
  bool confirm = false;
  char byte = 0;  ///< what a plain message is
};

/// What fdsend does: opens what is to be sent, meets the other side, sends.
class SendCommand {
 public:
  /// Throws InvalidArgument for options that do not go together.
  SendCommand(Reactor& reactor, SendOptions options, StderrLog& log);
  SendCommand(const SendCommand&) = delete;
  SendCommand& operator=(const SendCommand&) = delete;

  /// Opens what is to be sent. May block in open(2), where a signal shall end us as ever.
  Task<void> open_sources();
  /// With `keep` until a signal ends it. Otherwise a signal is raised again; it arrives when
  /// `signals` ends, after what was bound has been given up.
  Task<ExitCode> run(const SignalMask& signals);

 private:
  void handle_signal(const ReceivedSignal& signal);
  Task<Fd> open(const Source& source);
  void tell_of_others(const Address& address) const;
  Task<void> serve(Fd socket);
  Task<void> send(int socket);
  Task<void> await_confirmation(FdWatcher& watcher);

  Reactor& reactor_;
  SendOptions options_;
  StderrLog& log_;
  LimitedLine report_failed_;  ///< of askers, when there are many
  std::optional<Rendezvous> rendezvous_;
  TimePoint deadline_ = kNever;
  std::vector<Fd> descriptors_;
  std::string message_;
};

}  // namespace handoff
