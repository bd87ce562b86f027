// SPDX-License-Identifier: MIT
#include "cli/tool_main.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <utility>

#include "cli/stdout_writer.hpp"
#include "os/error.hpp"
#include "os/listener.hpp"
#include "os/program.hpp"
#include "os/version.hpp"
#include "rpc/client.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// What a user can do about a failed system call, when we know.
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
  if (error.error_number() == EBADF && is_standard) return " (it is closed)";
  if (error.error_number() == EMFILE) return " (raise the limit with `ulimit -n`)";
  return "";
}

ExitCode exit_code_of(const SystemError& error) {
  if (error.attempt() != "run") return ExitCode::failed;
  return error.error_number() == ENOENT ? ExitCode::not_found : ExitCode::not_runnable;
}

/// As env(1) and others pass it on: the caller learns that the command that was named is wrong.
ExitCode exit_code_of(int status_of_command, ExitCode otherwise) {
  switch (status_of_command) {
    case to_int(ExitCode::not_found): return ExitCode::not_found;
    case to_int(ExitCode::not_runnable): return ExitCode::not_runnable;
    default: return otherwise;
  }
}

/// CLI11's messages can have several lines; ours have one.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Has what `parse` throws name the option, by the long one of its names.
std::function<void(const std::string&)> naming(const std::string& names,
                                               std::function<void(const std::string&)> parse) {
  const std::string option = names.substr(names.find("--"));
  return [option, parse = std::move(parse)](const std::string& value) {
    try {
      parse(value);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(fmt::format("{} {}", option, error.what()));
    }
  };
}

/// What is wrong with how options are combined, in our words.
std::string sentence_of(const CLI::ParseError& error) {
  std::string text = one_line(error.what());
  const auto replace = [&text](std::string_view from, std::string_view to) {
    if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
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

/// CLI11's, with our own usage line: it knows neither "--" nor two forms of one command.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::string usage) : usage_(std::move(usage)) { column_width(34); }
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: " + usage_ + "\n";
  }
  /// The value's name alone.
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    return type.empty() ? "" : " " + type;
  }

 private:
  std::string usage_;
};

/// --help and --version are exceptions to CLI11, and ordinary output to us.
ExitCode run_or_tell(Tool& tool, const std::string& name,
                     const std::function<ExitCode(Tool&)>& run) {
  try {
    return run(tool);
  } catch (const CLI::CallForHelp&) {
    write_to_stdout(tool.app.help());
  } catch (const CLI::CallForVersion&) {
    write_to_stdout(fmt::format("{} (handoff) {}\n", name, kVersion));
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
  } catch (const std::exception& error) {
    return fail(ExitCode::failed, error.what());
  }
}

}  // namespace

Duration parse_duration(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double seconds = 0;
  if (unit == "us") {
    seconds = 1e-6;
  } else if (unit == "ms") {
    seconds = 1e-3;
  } else if (unit == "s" || unit.empty()) {
    seconds = 1;
  } else if (unit == "m") {
    seconds = 60;
  } else if (unit == "h") {
    seconds = 3600;
  }
  // A century is enough for anybody, and fits in nanoseconds.
  constexpr double kMost = 3600.0 * 24 * 365 * 100;
  if (error != std::errc() || seconds == 0 || !std::isfinite(value) || value < 0 ||
      value * seconds > kMost) {
    throw InvalidArgument(fmt::format("{}: write a duration such as 250ms, 2s, 1m or 1h",
                                      text.empty() ? "''" : text));
  }
  const auto duration =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value * seconds));
  // 0 has a meaning of its own.
  if (value > 0 && duration == Duration()) {
    throw InvalidArgument(fmt::format("{}: shorter than a nanosecond", text));
  }
  return duration;
}

Tool::Tool(const char* name, int argc, char** words_in)
    : app("", name), log(name), argv(words_in, words_in + argc) {
  const auto words = std::vector<std::string>(argv.begin() + std::min(argc, 1), argv.end());
  const auto dashes = std::find(words.begin(), words.end(), "--");
  words_.assign(std::make_reverse_iterator(dashes), words.rend());
  has_dashes = dashes != words.end();
  if (has_dashes) after_dashes.assign(dashes + 1, words.end());

  app.set_help_flag("-h,--help", "Show this, and exit");
  app.set_version_flag("-V,--version", "", "Show the version, and exit");
  app.add_flag("-v,--verbose", more_, "Say more, on stderr");
  app.add_flag("-q,--quiet", less_, "Say less");
  app.failure_message(CLI::FailureMessage::simple);
}

void Tool::run_long(Orphans orphans) {
  const Status prepared = prepare_to_run_long(orphans);
  log.never_wait();
  if (prepared.is_ok()) return;
  log.info(
      fmt::format("cannot become a subreaper: {}; a process that leaves the group of its worker or "
                  "command, and outlives it, is not ended",
                  prepared.why()));
}

void Tool::describe(const std::string& sentence, const std::string& usage) {
  app.description(sentence);
  app.formatter(std::make_shared<HelpFormatter>(usage));
}

void Tool::parse_options() {
  app.allow_extras();
  app.parse(words_);
  if (more_ > less_) log.set_level(StderrLog::Level::verbose);
  if (more_ < less_) log.set_level(StderrLog::Level::quiet);
}

void Tool::refuse_option(const std::string& word) const {
  throw InvalidArgument(fmt::format("unknown option {} (see {} --help)", word, app.get_name()));
}

void Tool::parse(std::string_view remedy) {
  parse_options();
  const std::vector<std::string> extra = app.remaining();
  // In CLI11's list unknown options come first.
  const auto first = std::find_first_of(argv.begin(), argv.end(), extra.begin(), extra.end());
  if (first == argv.end()) return;
  if (first->starts_with('-')) refuse_option(*first);
  throw InvalidArgument(
      fmt::format("unexpected word {}{} (see {} --help)", *first, remedy, app.get_name()));
}

std::vector<std::string> Tool::parse_positionals() {
  // Declared positionals would be taken apart: CLI11 reads "[1,2]" as a list of its own.
  parse_options();
  std::vector<std::string> words = app.remaining();
  for (const std::string& word : words) {
    const bool is_option = word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9');
    if (is_option) refuse_option(word);
  }
  return words;
}

std::vector<std::string> Tool::parse_words() {
  std::vector<std::string> words = parse_positionals();
  words.insert(words.end(), after_dashes.begin(), after_dashes.end());
  return words;
}

void Tool::refuse_command() const {
  if (after_dashes.empty()) return;
  throw InvalidArgument(
      fmt::format("unexpected word {} after --: this tool runs no command", after_dashes.front()));
}

CLI::Option* Tool::add_duration(const std::string& names, Duration& value,
                                const std::string& help) {
  const auto parse = [&value](const std::string& text) { value = parse_duration(text); };
  return add_value(names, "T", parse, help);
}

CLI::Option* Tool::add_value(const std::string& names, const std::string& type,
                             std::function<void(const std::string&)> parse,
                             const std::string& help) {
  return app.add_option_function<std::string>(names, naming(names, std::move(parse)), help)
      ->type_name(type);
}

CLI::Option* Tool::add_values(const std::string& names, const std::string& type,
                              std::function<void(const std::string&)> parse,
                              const std::string& help) {
  const auto parse_all =
      [parse = naming(names, std::move(parse))](const std::vector<std::string>& values) {
        for (const std::string& value : values) parse(value);
      };
  return app.add_option_function<std::vector<std::string>>(names, parse_all, help)
      ->type_name(type)
      ->allow_extra_args(false);
}

int tool_main(const char* name, int argc, char** argv, const std::function<ExitCode(Tool&)>& run) {
  fill_standard_descriptors();
  Tool tool(name, argc, argv);
  const ExitCode code = run_and_report(tool, name, run);
  tool.log.catch_up();
  return to_int(code);
}

}  // namespace handoff
