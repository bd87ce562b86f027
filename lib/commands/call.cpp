// SPDX-License-Identifier: MIT
#include "commands/call.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "commands/call_once.hpp"
#include "commands/call_watch.hpp"
#include "os/error.hpp"

namespace handoff {

CallCommand::CallCommand(Reactor& reactor, CallOptions options, StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      output_(reactor),
      printer_(options_, log, output_),
      progress_(reactor, log, [this] { return line_counts(); }) {
  if (options_.list) { options_.method = "methods"; }
  if (options_.json_rpc && !options_.lines && !is_json_rpc_params(options_.params)) {
    throw InvalidArgument(fmt::format("params {}: {}", options_.params, kNotStructured));
  }
}

/// Results go to stdout while replies are read, so that the deadline of a call measures the server
/// and never the reader of stdout. What was read is printed even if a later call fails.
Task<ExitCode> CallCommand::run() {
  reactor_.spawn(output_.run());
  if (options_.watch > Duration::zero()) {
    CallWatch watch(reactor_, options_, log_, output_, printer_);
    co_await watch.run();
  }
  connection_.emplace(reactor_, options_, log_);
  co_await connection_->connect();
  ExitCode code = ExitCode::done;
  std::exception_ptr failure;
  try {
    code = co_await make_calls();
  } catch (...) { failure = std::current_exception(); }
  if (failure && lines_) { lines_->abandon(); }
  co_await output_.drained();
  progress_.finish();
  if (failure) { std::rethrow_exception(failure); }
  co_return code;
}

Task<ExitCode> CallCommand::make_calls() {
  ExitCode code = ExitCode::done;
  if (options_.lines) {
    lines_.emplace(reactor_, options_, *connection_, output_, printer_);
    if (options_.progress) { progress_.start(); }
    code = co_await lines_->run();
  } else {
    CallOnce once(options_, *connection_, printer_);
    code = co_await once.run();
  }
  co_return code;
}

}  // namespace handoff
