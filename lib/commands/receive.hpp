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
#include "commands/rendezvous.hpp"
#include "commands/senders.hpp"
#include "os/child.hpp"
#include "os/signals.hpp"
#include "pass/handover_receiver.hpp"

namespace handoff {

struct ReceiveOptions {
  /// Where the descriptors go in the command.
  enum class Placement {
    stdio,       ///< the only one is 0 and 1
    stdin_only,  ///< the only one is 0
    numbers,     ///< as `numbers` says, in order
    listen_fds,  ///< any number of them from 3 on, told in LISTEN_FDS (sd_listen_fds(3))
  };

  RendezvousOptions rendezvous;
  std::vector<std::string> command;  ///< none: copy the descriptor to stdout, unless `json`
  Placement placement = Placement::stdio;
  std::vector<int> numbers;
  bool json = false;                ///< say what came, and close it
  bool keep = false;                ///< go on: a process for every message
  std::uint64_t count = 0;          ///< with `keep`: messages after which it ends; 0 is never
  std::size_t max_processes = 256;  ///< with `keep`: at a time
};

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
  void start_process(const Received& received);
  Task<void> reap(Child child);
  void handle_signal(const ReceivedSignal& signal);
  void stop();

  Reactor& reactor_;
  ReceiveOptions options_;
  StderrLog& log_;
  LimitedLine report_failed_;  ///< of senders, when there are many
  const SignalMask& signals_;
  Rendezvous rendezvous_;
  Received received_;
  std::uint64_t taken_ = 0;
  std::size_t under_way_ = 0;  ///< commands that run, and messages that are printed
  bool stopping_ = false;
  std::exception_ptr error_;
  Senders senders_;
  Semaphore places_;  ///< for processes
  StdoutWriter output_;
  Semaphore printing_;
  Condition changed_;  ///< something in the above that run() waits for
};

/// Becomes the command of `options`, or copies the only descriptor to stdout. Nothing is left to do
/// when what came was printed.
ExitCode hand_on(const ReceiveOptions& options, const Received& received);

}  // namespace handoff
