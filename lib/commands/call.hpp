// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/attempts.hpp"
#include "async/condition.hpp"
#include "async/reactor.hpp"
#include "cli/exit_status.hpp"
#include "cli/stderr_log.hpp"
#include "cli/stdout_writer.hpp"
#include "commands/render.hpp"
#include "os/address.hpp"
#include "rpc/client.hpp"
#include "wire/limits.hpp"

namespace handoff {

struct CallOptions {
  Address address;
  std::string method;
  std::string params = "null";
  bool lines = false;  ///< params come as lines of stdin
  bool list = false;   ///< show the methods
  bool full = false;   ///< show whole replies
  bool json_rpc = false;
  Rendering rendering = Rendering::compact;
  Output output = Output::other;
  Duration timeout = std::chrono::seconds(60);
  Duration connect_timeout = std::chrono::seconds(10);
  int retries = 0;
  bool wait = false;  ///< until the server is up
  std::size_t pipeline = 64;
  std::uint32_t max_frame = limits::kMaxFrame;
  std::vector<int> ok_codes;  ///< errors that are success
};

/// What rpc-call does: one call, or one for each line of stdin; results on stdout.
class CallCommand {
 public:
  CallCommand(Reactor& reactor, CallOptions options, StderrLog& log);
  CallCommand(const CallCommand&) = delete;
  CallCommand& operator=(const CallCommand&) = delete;

  Task<ExitCode> run();

 private:
  /// What is still to come from stdin.
  enum class Input : std::uint8_t {
    open,
    ended,
    abandoned,  ///< a call has failed, and no further one is made
  };

  /// A line whose reply is still to come, or that was no JSON.
  struct PendingLine {
    std::uint64_t number;  ///< also the call's id in JSON-RPC
    TimeLimit limit;
    std::string problem;
  };

  /// A reply that is shown later than the next one is read.
  struct KeptReply {
    bool is_error;
    std::string result;
    std::string body;
  };

  using LineNumber = std::optional<std::uint64_t>;

  void start_clock();
  Task<void> connect();
  void queue(std::string_view params, std::uint64_t number);
  Task<ExitCode> answer_line(const PendingLine& line);
  std::optional<ExitCode> show_early_reply(const PendingLine& line);
  void show_early_replies();
  Dialect dialect() const { return options_.json_rpc ? Dialect::json_rpc : Dialect::article; }
  std::uint64_t number_of(const Reply& reply) const;
  void refuse_unread(std::string_view why) const;
  Task<ExitCode> call_once();
  Task<std::optional<ExitCode>> try_call(std::optional<KeptReply>& refusal);
  Task<ExitCode> call_lines();
  Task<void> send_lines();
  Task<void> send_until_end();
  void send_line(std::string_view line);
  void show_problem(const PendingLine& line);
  ExitCode show(const Reply& reply, LineNumber line);
  ExitCode show(const KeptReply& kept, LineNumber line);
  std::string describe_error(std::string_view result, LineNumber line) const;
  ExitCode list_methods(const Reply& reply);
  bool is_worth_retrying(const Reply& reply) const;
  bool has_room() const { return pending_.size() < options_.pipeline; }
  void print(std::string_view text);

  Reactor& reactor_;
  CallOptions options_;
  StderrLog& log_;
  std::unique_ptr<Client> client_;
  TimeLimit limit_;
  std::optional<Attempts> attempts_;  ///< once the clock runs
  StdoutWriter output_;
  std::deque<PendingLine> pending_;
  std::map<std::uint64_t, KeptReply> early_;  ///< of JSON-RPC, until their turn
  std::uint64_t line_count_ = 0;
  Input input_ = Input::open;
  std::exception_ptr input_failure_;
  Condition line_sent_;  ///< is also told when the input has ended
  Condition line_answered_;
};

}  // namespace handoff
