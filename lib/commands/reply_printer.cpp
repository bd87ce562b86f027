// SPDX-License-Identifier: MIT
#include "commands/reply_printer.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "os/printable.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// Returns the last line that a failed command wrote to its stderr, if the error carries that.
std::string last_words(const std::string& data) {
  const auto json = nlohmann::json::parse(data, nullptr, false);
  if (!json.is_object() || !json.contains("stderr") || !json["stderr"].is_string()) { return ""; }
  const auto text = json["stderr"].get<std::string>();
  return text.empty() ? "" : ": " + text.substr(text.rfind('\n') + 1);
}

}  // namespace

ExitCode ReplyPrinter::show(const Reply& reply, LineNumber line, std::string_view remedy) {
  if (options_.full) { print(render_json(reply.body, options_.rendering, options_.output)); }
  if (!reply.is_error()) {
    if (!options_.full) { print(render_json(reply.result, options_.rendering, options_.output)); }
    return ExitCode::done;
  }
  const ErrorResult error = parse_error_result(reply.result);
  const bool is_ok = std::find(options_.ok_codes.begin(), options_.ok_codes.end(), error.code) !=
                     options_.ok_codes.end();
  if (options_.lines && !options_.full) { show_nothing(); }
  if (is_ok) { return ExitCode::done; }
  log_.error(fmt::format("{}{}", describe_error(reply.result, line), remedy));
  return ExitCode::negative;
}

ExitCode ReplyPrinter::show(const KeptReply& kept, LineNumber line, std::string_view remedy) {
  return show(Reply{kept.is_error ? "error" : "", kept.result, {}, kept.body}, line, remedy);
}

std::string ReplyPrinter::describe_error(std::string_view result, LineNumber line) const {
  const ErrorResult error = parse_error_result(result);
  const std::string text = error.message.empty() ? std::string(result) : error.message;
  const std::string where = line ? fmt::format(" for line {}", *line) : "";
  return fmt::format("{} on {} failed{}: {}{}", options_.method.empty() ? "''" : options_.method,
                     options_.address.text, where, text, last_words(error.data));
}

ExitCode ReplyPrinter::show_methods(const Reply& reply) {
  const auto names = nlohmann::json::parse(reply.result);
  if (!names.is_array()) {
    throw ProtocolError(
        fmt::format("methods on {} failed: the result is no list of names", options_.address.text));
  }
  for (const auto& name : names) {
    // A server may name a method as it likes; each name must still be one harmless line.
    print(name.is_string() ? printable(name.get<std::string>()) : name.dump());
  }
  return ExitCode::done;
}

void ReplyPrinter::show_problem(std::uint64_t line, std::string_view problem) {
  log_.error(fmt::format("line {} of stdin: {}", line, problem));
  show_nothing();
}

void ReplyPrinter::print(std::string_view text) {
  output_.add(text);
  output_.add("\n");
}

}  // namespace handoff
