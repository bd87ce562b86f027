// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "async/condition.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/semaphore.hpp"
#include "async/stream.hpp"
#include "cli/exit_status.hpp"
#include "cli/stderr_log.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/receive_options.hpp"
#include "commands/rendezvous.hpp"
#include "commands/senders.hpp"
#include "commands/serve_received.hpp"
#include "os/signals.hpp"
#include "pass/handover_receiver.hpp"

namespace handoff {

/// The work of fdrecv up to the descriptors' arrival: it meets the senders, receives, and with
/// `keep` or `json` also hands on what arrives.
///
/// Rendezvous makes or accepts the connections, Senders bounds their number, a HandoverReceiver per
/// sender reads the messages, and ServeReceived runs the commands of `keep`. Each sender has its
/// own coroutine; a message that is complete is handed on before the next one of that sender is
/// read.
class ReceiveCommand {
 public:
  /// Throws SystemError if the command cannot be executed, before any sender has lost a descriptor
  /// to it, and what the Rendezvous throws. The reactor, `signals` and `log` must outlive this
  /// object.
  ReceiveCommand(Reactor& reactor, const SignalMask& signals, ReceiveOptions options,
                 StderrLog& log);
  ReceiveCommand(const ReceiveCommand&) = delete;
  ReceiveCommand& operator=(const ReceiveCommand&) = delete;

  /// Returns what was received, for hand_on(); with `keep` or `json` that is of no use. Throws the
  /// failure of the only sender or of fdrecv itself; other senders' failures are logged. A signal
  /// that ends the wait is raised again, and arrives when `signals` is destroyed, after the
  /// socket's name has been removed. This object must outlive the reactor's run.
  Task<Received> run();

 private:
  /// Starts a coroutine for each sender that connects.
  Task<void> accept_senders();
  /// Receives from one sender until it ends; it is removed from senders_ then.
  Task<void> receive_from(Sender& sender);
  /// Receives the messages of a sender and hands each on. The sender must outlive the task.
  Task<void> receive_messages(Sender& sender);
  /// Waits for the next message of a sender. Returns nothing if the sender has ended, or its time
  /// has.
  Task<std::optional<Received>> receive_message(Sender& sender, HandoverReceiver& receiver);
  void give_up_on_sender();
  /// Returns whether run() may return.
  bool is_over() const;
  bool starts_processes() const { return options_.keep && !options_.json; }
  /// Throws ProtocolError if the options have no use for so many descriptors.
  void check_count(std::size_t count) const;
  /// Starts the command with what was received, or keeps it for run().
  void take(Received received);
  /// Prints what was received, one message at a time. `received` must outlive the task.
  Task<bool> print(const Received& received);
  void handle_signal(const ReceivedSignal& signal);
  /// Accepts no further sender.
  void stop();

  Reactor& reactor_;
  ReceiveOptions options_;
  LimitedLine report_failed_;  ///< failures of senders, where there may be many
  const SignalMask& signals_;
  Rendezvous rendezvous_;
  /// What run() returns without `keep`.
  Received received_;
  std::uint64_t taken_ = 0;
  std::size_t printing_now_ =
      0;  ///< the number of messages that wait to be printed or are being printed
  bool stopping_ = false;
  /// What run() throws: the failure of the only sender or of fdrecv itself.
  std::exception_ptr error_;
  Senders senders_;
  ServeReceived processes_;
  StdoutWriter output_;
  Semaphore printing_;
  Condition changed_;  ///< is notified when something changes that run() waits for
};

}  // namespace handoff
