// SPDX-License-Identifier: MIT
#include "commands/call_watch.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <handoff/wire/errors.hpp>

#include "commands/status_table.hpp"

namespace handoff {
namespace {

// Escape sequences that a VT100 and every terminal since understands.
constexpr std::string_view kHome = "\033[H";
constexpr std::string_view kClearToEndOfLine = "\033[K";
constexpr std::string_view kClearBelow = "\033[J";

winsize size_of_terminal() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    size.ws_row = 24;
    size.ws_col = 80;
  }
  return size;
}

/// Returns the start of a line of UTF-8, at most so many characters of it.
std::string_view cut(std::string_view line, std::size_t characters) {
  std::size_t end = 0;
  while (end < line.size()) {
    const bool begins = (static_cast<unsigned char>(line[end]) & 0xC0U) != 0x80U;
    if (begins && characters-- == 0) { break; }
    ++end;
  }
  return line.substr(0, end);
}

}  // namespace

CallWatch::CallWatch(Reactor& reactor, const CallOptions& options, StderrLog& log,
                     StdoutWriter& output, ReplyPrinter& printer)
    : reactor_(reactor), options_(options), log_(log), output_(output), printer_(printer) {}

Task<void> CallWatch::run() {
  for (TimePoint due = Clock::now();;) {
    std::exception_ptr failure;
    std::string trouble;
    try {
      co_await call();
    } catch (const Unreachable& error) {
      trouble = error.what();
      failure = std::current_exception();
    } catch (const TimedOut& error) {
      trouble = error.what();
      failure = std::current_exception();
    } catch (const ConnectionLost& error) {
      trouble = error.what();
      failure = std::current_exception();
    }
    if (failure) {
      connection_.reset();
      if (!has_result_) { std::rethrow_exception(failure); }
      if (trouble != trouble_) { log_.error(trouble); }
    }
    trouble_ = std::move(trouble);
    // A reader that does not keep up gets fewer results.
    if (output_.is_behind()) { co_await output_.caught_up(); }
    due = std::max(due + options_.watch, Clock::now());
    co_await reactor_.sleep_until(due);
  }
}

Task<void> CallWatch::call() {
  if (!connection_) {
    connection_.emplace(reactor_, options_, log_);
    co_await connection_->connect();
  }
  const TimeLimit limit = TimeLimit::after(Clock::now(), options_.timeout);
  connection_->refuse_unread(has_result_ ? kTooMany : kUnasked);
  connection_->queue(options_.params, 1);
  co_await connection_->client().flush(limit);
  const Reply reply = co_await connection_->client().receive(limit);
  connection_->number_of(reply, {1, 1});
  connection_->refuse_unread(kTooMany);
  const bool is_last = reply.is_last;
  show(reply);
  has_result_ = true;
  if (is_last) { connection_.reset(); }
}

void CallWatch::show(const Reply& reply) {
  if (options_.output != Output::terminal || reply.is_error()) {
    printer_.show(reply, std::nullopt);
    return;
  }
  const std::string_view shown = options_.full ? reply.body : reply.result;
  const TimePoint now = Clock::now();
  const auto table = options_.full ? std::nullopt : status_table(shown, last_, now - last_at_);
  last_ = reply.result;
  last_at_ = now;
  draw(table ? *table : render_json(shown, options_.rendering, options_.output));
}

/// Draws the text over the previous one. Whatever does not fit on the terminal is left out: a line
/// that wraps, or a screen that scrolls, would shift everything that is drawn later.
void CallWatch::draw(std::string_view text) {
  const winsize size = size_of_terminal();
  output_.add(kHome);
  for (int row = 1; row < size.ws_row && !text.empty(); ++row) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    output_.add(cut(text.substr(0, end), size.ws_col));
    output_.add(kClearToEndOfLine);
    output_.add("\n");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  output_.add(kClearBelow);
}

}  // namespace handoff
