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

/// What fdrecv does while it waits: meets the other side, receives, and with `keep` or `json` also
/// hands on.
class ReceiveCommand {
 public:
  /// Throws SystemError when the command can't be executed: that shall not cost a descriptor.
  ReceiveCommand(Reactor& reactor, const SignalMask& signals, ReceiveOptions options,
                 StderrLog& log);
  ReceiveCommand(const ReceiveCommand&) = delete;
  ReceiveCommand& operator=(const ReceiveCommand&) = delete;

  /// Without `keep` gives what was received, for hand_on(). A signal that ends it is raised again;
  /// it arrives when `signals` ends, after what was bound has been given up.
  Task<Received> run();

 private:
  Task<void> accept_senders();
  Task<void> receive_from(Sender& sender);
  Task<void> receive_messages(Sender& sender);
  Task<std::optional<Received>> receive_message(Sender& sender, HandoverReceiver& receiver);
  void give_up_on_sender();
  bool is_over() const;
  bool starts_processes() const { return options_.keep && !options_.json; }
  void check_count(std::size_t count) const;
  void take(Received received);
  Task<bool> print(const Received& received);
  void handle_signal(const ReceivedSignal& signal);
  void stop();

  Reactor& reactor_;
  ReceiveOptions options_;
  LimitedLine report_failed_;  ///< of senders, when there are many
  const SignalMask& signals_;
  Rendezvous rendezvous_;
  Received received_;
  std::uint64_t taken_ = 0;
  std::size_t printing_now_ = 0;  ///< messages
  bool stopping_ = false;
  std::exception_ptr error_;
  Senders senders_;
  ServeReceived processes_;
  StdoutWriter output_;
  Semaphore printing_;
  Condition changed_;  ///< something in the above that run() waits for
};

}  // namespace handoff
