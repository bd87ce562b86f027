// SPDX-License-Identifier: MIT
#include "cli/tool_main.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "cli/stdout_writer.hpp"
#include "os/error.hpp"
#include "os/listener.hpp"
#include "os/program.hpp"
#include "os/version.hpp"
#include "rpc/client.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// Returns what a user can do about a failed system call; empty if that is not known.
std::string_view remedy_for(const SystemError& error) {
  if (error.attempt() == "listen on") {
    const bool is_path = error.object().find('/') != std::string::npos;
    switch (error.error_number()) {
      case EACCES:
        return is_path ? " (the folder must be writable)"
                       : " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
      case EADDRINUSE: return " (another process listens there; `ss -lptx` names it)";
      case EADDRNOTAVAIL: return " (no interface of this host has that address)";
      case ELOOP: return " (a symlink is not followed; name the socket itself)";
      case EEXIST: return " (the file is no socket, and is left alone)";
      default: return "";
    }
  }
  if (is_refused(error.error_number())) {
    if (error.attempt() == "use memfd_create") {
      return " (--pass queue shares memory by it; connection and listener do without)";
    }
    if (error.attempt() == "take") {
      return " (pidfd_getfd needs the right to trace the process, see ptrace(2), and a container "
             "may refuse it altogether)";
    }
  }
  if (error.error_number() == ENOEXEC) {
    return " (it is incomplete, or for another machine, or a script whose first line names no "
           "interpreter, as in #!/bin/sh)";
  }
  const bool is_standard = error.object() == "stdin" || error.object() == "stdout";
  if (error.error_number() == EBADF && is_standard) { return " (it is closed)"; }
  if (error.error_number() == EMFILE) { return " (raise the limit with `ulimit -n`)"; }
  return "";
}

ExitCode exit_code_of(const SystemError& error) {
  if (error.attempt() != "run") { return ExitCode::failed; }
  return error.error_number() == ENOENT ? ExitCode::not_found : ExitCode::not_runnable;
}

/// The status is passed on as env(1) does, so that the caller learns that the command that was
/// named is wrong.
ExitCode exit_code_of(int status_of_command, ExitCode otherwise) {
  switch (status_of_command) {
    case to_int(ExitCode::not_found): return ExitCode::not_found;
    case to_int(ExitCode::not_runnable): return ExitCode::not_runnable;
    default: return otherwise;
  }
}

/// CLI11's messages can have several lines; those of handoff have one.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Returns what is wrong with how options are combined, in handoff's words.
std::string sentence_of(const CLI::ParseError& error) {
  std::string text = one_line(error.what());
  const auto replace = [&text](std::string_view from, std::string_view to) {
    if (const auto at = text.find(from); at != std::string::npos) {
      text.replace(at, from.size(), to);
    }
  };
  const std::string option = text.substr(0, text.find_first_of(": "));
  if (error.get_name() == "ExcludesError") {
    replace(" excludes ", " does not go with ");
  } else if (error.get_name() == "RequiresError") {
    replace(" requires ", " needs ");
  } else if (error.get_name() == "ArgumentMismatch") {
    const bool is_missing = text.find("missing") != std::string::npos;
    text = option + (is_missing ? " needs a value" : " is given more than once");
  }
  return text;
}

/// CLI11 and Tool report --help, --version and --completion as exceptions, but their output is
/// ordinary.
ExitCode run_or_tell(Tool& tool, const std::string& name,
                     const std::function<ExitCode(Tool&)>& run) {
  try {
    return run(tool);
  } catch (const CLI::CallForHelp&) {
    write_to_stdout(tool.app.help());
  } catch (const CLI::CallForVersion&) {
    write_to_stdout(fmt::format("{} (handoff) {}\n", name, kVersion));
  } catch (const CompletionRequest& request) {
    write_to_stdout(completion_script(tool.syntax(), request.shell));
  }
  return ExitCode::done;
}

ExitCode run_and_report(Tool& tool, const std::string& name,
                        const std::function<ExitCode(Tool&)>& run) {
  const auto fail = [&](ExitCode code, std::string_view text, std::string_view remedy = "") {
    tool.log.error(fmt::format("{}{}", text, remedy));
    return code;
  };
  try {
    return run_or_tell(tool, name, run);
  } catch (const CLI::ParseError& error) {
    return fail(ExitCode::usage, sentence_of(error), fmt::format(" (see {} --help)", name));
  } catch (const NotLoopback& error) {
    return fail(ExitCode::usage, error.what(), " (--public allows it)");
  } catch (const InvalidArgument& error) {
    return fail(ExitCode::usage, error.what());
  } catch (const Unreachable& error) {
    return fail(ExitCode::unreachable, error.what());
  } catch (const CommandEnded& error) {
    return fail(exit_code_of(error.status().code, ExitCode::protocol), error.what());
  } catch (const ProtocolError& error) {
    return fail(ExitCode::protocol, error.what());
  } catch (const TimedOut& error) {
    return fail(ExitCode::timed_out, error.what());
  } catch (const ChildFailed& error) {
    return fail(exit_code_of(error.code(), ExitCode::failed), error.what());
  } catch (const SystemError& error) {
    return fail(exit_code_of(error), error.what(), remedy_for(error));
  } catch (const std::exception& error) { return fail(ExitCode::failed, error.what()); }
}

}  // namespace

int tool_main(const char* name, int argc, char** argv, const std::function<ExitCode(Tool&)>& run) {
  fill_standard_descriptors();
  Tool tool(name, argc, argv);
  const ExitCode code = run_and_report(tool, name, run);
  tool.log.catch_up();
  return to_int(code);
}

}  // namespace handoff
