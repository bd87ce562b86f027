// SPDX-License-Identifier: MIT
#include "cli/tool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include <handoff/os/error.hpp>

#include "cli/suggest.hpp"
#include "os/program.hpp"

namespace handoff {
namespace {

/// Makes an InvalidArgument of `parse` name the option, by the long one of its names.
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

}  // namespace

Tool::Tool(const char* name, int argc, char** words_in)
    : app("", name), log(name), argv(words_in, words_in + argc) {
  const auto words = std::vector<std::string>(argv.begin() + std::min(argc, 1), argv.end());
  const auto dashes = std::find(words.begin(), words.end(), "--");
  words_.assign(std::make_reverse_iterator(dashes), words.rend());
  has_dashes = dashes != words.end();
  if (has_dashes) { after_dashes.assign(dashes + 1, words.end()); }

  group(kGeneralOptions);
  app.set_help_flag("-h,--help", "Show this, and exit");
  app.set_version_flag("-V,--version", "", "Show the version, and exit");
  app.add_flag("-v,--verbose", more_, "Write more to stderr");
  app.add_flag("-q,--quiet", less_, "Write errors only");
  add_choice<std::optional<Shell>>(
      *this, "--completion", "SHELL", completion_,
      {{"bash", Shell::bash}, {"zsh", Shell::zsh}, {"fish", Shell::fish}},
      "Print a completion script: bash, zsh or fish");
  app.failure_message(CLI::FailureMessage::simple);
}

void Tool::run_long(Orphans orphans) {
  const Status prepared = prepare_to_run_long(orphans);
  log.never_wait();
  if (prepared.is_ok()) { return; }
  log.info(
      fmt::format("cannot become a subreaper: {}; a process that leaves the group of its worker or "
                  "command, and outlives it, is not ended",
                  prepared.why()));
}

void Tool::describe(HelpText text) {
  app.formatter(std::make_shared<HelpFormatter>(std::move(text)));
}

void Tool::group(const std::string& title) {
  app.option_defaults()->group(title);
}

void Tool::parse_options() {
  app.allow_extras();
  refuse_values_of_flags();
  app.parse(words_);
  if (completion_) { throw CompletionRequest{*completion_}; }
  if (more_ > less_) { log.set_level(StderrLog::Level::verbose); }
  if (more_ < less_) { log.set_level(StderrLog::Level::quiet); }
}

void Tool::refuse_values_of_flags() const {
  for (const std::string& word : words_) {
    const std::size_t end = word.find('=');
    if (!word.starts_with("--") || end == std::string::npos) { continue; }
    const std::string name = word.substr(0, end);
    const CLI::Option* option = app.get_option_no_throw(name);
    if (option == nullptr || option->get_items_expected_max() > 0) { continue; }
    throw InvalidArgument(fmt::format("{}: {} takes no value", word, name));
  }
}

void Tool::refuse_option(const std::string& word) const {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  const bool is_long = word.starts_with("--");
  const auto meant = is_long ? suggest(word.substr(2, word.find('=') - 2), names) : std::nullopt;
  const std::string remedy = meant ? fmt::format("did you mean --{}?", *meant)
                                   : fmt::format("see {} --help", app.get_name());
  throw InvalidArgument(fmt::format("unknown option {} ({})", word, remedy));
}

void Tool::parse(std::string_view remedy) {
  parse_options();
  const std::vector<std::string> extra = app.remaining();
  // In CLI11's list unknown options precede other words.
  const auto first = std::find_first_of(argv.begin(), argv.end(), extra.begin(), extra.end());
  if (first == argv.end()) { return; }
  if (first->starts_with('-')) { refuse_option(*first); }
  throw InvalidArgument(
      fmt::format("unexpected word {}{} (see {} --help)", *first, remedy, app.get_name()));
}

std::vector<std::string> Tool::parse_positionals() {
  // Positionals are not declared, because CLI11 would read "[1,2]" as a list of its own.
  parse_options();
  std::vector<std::string> words = app.remaining();
  for (const std::string& word : words) {
    const bool is_option = word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9');
    if (is_option) { refuse_option(word); }
  }
  return words;
}

std::vector<std::string> Tool::parse_words() {
  std::vector<std::string> words = parse_positionals();
  words.insert(words.end(), after_dashes.begin(), after_dashes.end());
  return words;
}

void Tool::refuse_command() const {
  if (after_dashes.empty()) { return; }
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
        for (const std::string& value : values) { parse(value); }
      };
  return app.add_option_function<std::vector<std::string>>(names, parse_all, help)
      ->type_name(type)
      ->allow_extra_args(false);
}

void add_words(CLI::App& app, const std::string& names, const std::string& help,
               const std::string& type) {
  app.add_option(names, help)
      ->type_name(type)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}

}  // namespace handoff
