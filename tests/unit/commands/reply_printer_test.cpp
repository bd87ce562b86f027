// SPDX-License-Identifier: MIT
#include "commands/reply_printer.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/wire/errors.hpp>

#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr const char* kBusy = R"({"code":-32000,"message":"busy"})";

/// What was printed, and what was logged.
struct Shown {
  std::string out;
  std::string err;
};

CallOptions calling(const std::string& method) {
  CallOptions options;
  options.address = Address::parse("./s");
  options.method = method;
  return options;
}

Shown shown_by(const CallOptions& options, const std::function<void(ReplyPrinter&)>& show) {
  Pipe errors = make_pipe();
  Shown shown;
  shown.out = test::written_to(STDOUT_FILENO, [&] {
    Reactor reactor;
    StdoutWriter output(reactor);
    StderrLog log("test", errors.write_end.get());
    ReplyPrinter printer(options, log, output);
    show(printer);
    output.write_now();
  });
  errors.write_end.reset();
  shown.err = test::read_until_end(errors.read_end.get());
  return shown;
}

Reply reply_with(const char* out, std::string_view result, std::string_view body = "{}") {
  return Reply{out, result, {}, body};
}

TEST_CASE("a result is printed as a line, and is success") {
  const Shown shown = shown_by(calling("echo"), [](ReplyPrinter& printer) {
    CHECK(printer.show(reply_with("", "[1, 2]"), std::nullopt) == ExitCode::done);
  });
  CHECK(shown.out == "[1,2]\n");
  CHECK(shown.err.empty());
}

TEST_CASE("an error is one line on stderr, which names the method, the server and the line") {
  const Shown shown = shown_by(calling("echo"), [](ReplyPrinter& printer) {
    CHECK(printer.show(reply_with("error", kBusy), std::nullopt) == ExitCode::negative);
    CHECK(printer.show(reply_with("error", kBusy), 7) == ExitCode::negative);
  });
  CHECK(shown.out.empty());
  CHECK(shown.err == "test: echo on ./s failed: busy\ntest: echo on ./s failed for line 7: busy\n");
}

TEST_CASE("the last line that a failed command wrote to stderr is a part of its error") {
  const Shown shown = shown_by(calling("run"), [](ReplyPrinter& printer) {
    const char* result = R"({"code":1,"message":"exited","data":{"stderr":"first\nlast"}})";
    printer.show(reply_with("error", result), std::nullopt);
  });
  CHECK(shown.err == "test: run on ./s failed: exited: last\n");
}

TEST_CASE("an error that is allowed is success, and is not logged") {
  CallOptions options = calling("echo");
  options.ok_codes = {-32000};
  const Shown shown = shown_by(options, [](ReplyPrinter& printer) {
    CHECK(printer.show(reply_with("error", kBusy), std::nullopt) == ExitCode::done);
  });
  CHECK(shown.out.empty());
  CHECK(shown.err.empty());
}

TEST_CASE("a line whose call failed has null in the output") {
  CallOptions options = calling("echo");
  options.lines = true;
  const Shown shown = shown_by(options, [](ReplyPrinter& printer) {
    printer.show(reply_with("error", kBusy), 1);
    printer.show_problem(2, "not JSON");
    printer.show(reply_with("", "3"), 3);
  });
  CHECK(shown.out == "null\nnull\n3\n");
  CHECK(shown.err ==
        "test: echo on ./s failed for line 1: busy\ntest: line 2 of stdin: not JSON\n");
}

TEST_CASE("a whole reply is printed in place of its result, and an error as well") {
  CallOptions options = calling("echo");
  options.full = true;
  options.lines = true;
  const Shown shown = shown_by(options, [](ReplyPrinter& printer) {
    printer.show(reply_with("", "1", R"({"result": 1})"), 1);
    printer.show(reply_with("error", kBusy, R"({"out": "error"})"), 2);
  });
  CHECK(shown.out == "{\"result\":1}\n{\"out\":\"error\"}\n");
}

TEST_CASE("a reply that was kept is shown as it would have been at once") {
  const Shown shown = shown_by(calling("echo"), [](ReplyPrinter& printer) {
    CHECK(printer.show(KeptReply(reply_with("", "5")), 1) == ExitCode::done);
    CHECK(printer.show(KeptReply(reply_with("error", kBusy)), 2) == ExitCode::negative);
  });
  CHECK(shown.out == "5\n");
  CHECK(shown.err == "test: echo on ./s failed for line 2: busy\n");
}

TEST_CASE("methods are printed a name a line, whatever they are called") {
  const Shown shown = shown_by(calling("methods"), [](ReplyPrinter& printer) {
    CHECK(printer.show_methods(reply_with("", R"(["a","b\nc",7])")) == ExitCode::done);
  });
  CHECK(shown.out == "a\nb\\nc\n7\n");
}

TEST_CASE("methods that are no list break the protocol") {
  shown_by(calling("methods"), [](ReplyPrinter& printer) {
    CHECK_THROWS_AS(printer.show_methods(reply_with("", "{}")), ProtocolError);
  });
}

}  // namespace
}  // namespace handoff
