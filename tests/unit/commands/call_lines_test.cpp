// SPDX-License-Identifier: MIT
#include "commands/call_lines.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/played_server.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::PlayedServer;
using Bodies = std::vector<std::string>;

/// The params in a request of the article's dialect.
std::string params_of(const std::string& request) {
  const auto start = request.find("\"params\":") + 9;
  return request.substr(start, request.size() - start - 1);
}
std::string reply_with(const std::string& result) {
  return R"({"out":"m","result":)" + result + "}";
}
std::string json_rpc_reply(int id, const std::string& result) {
  return R"({"jsonrpc":"2.0","result":)" + result + R"(,"id":)" + std::to_string(id) + "}";
}
PlayedServer::Bodies echo(const std::string& request) {
  return Bodies{reply_with(params_of(request))};
}

/// Lines of stdin as calls to a server that is played, and what is said about them.
struct Lines {
  explicit Lines(PlayedServer::Answer answer) : server(reactor, std::move(answer)) {
    options.address = Address::parse(server.address());
    options.method = "m";
    options.lines = true;
  }

  /// Writes the rest of stdin when a line was answered.
  static Task<void> write_rest(Reactor& reactor, const CallLines& lines, Fd stdin_end,
                               std::string rest) {
    while (lines.counts().answered == 0) { co_await reactor.yield(); }
    test::write_text(stdin_end.get(), rest);
  }

  /// What a failure says, or nothing. The rest of stdin follows the first reply.
  std::string run(const std::string& input, const std::optional<std::string>& rest = {}) {
    Pipe pipe = make_pipe();
    test::write_text(pipe.write_end.get(), input);
    if (!rest) { pipe.write_end.reset(); }
    const Fd before(dup(STDIN_FILENO));
    dup2(pipe.read_end.get(), STDIN_FILENO);  // the calls close it
    Pipe errors = make_pipe();
    std::string failure;
    out = test::written_to(STDOUT_FILENO, [&] {
      StderrLog log("rpc-call", errors.write_end.get());
      StdoutWriter output(reactor);
      ReplyPrinter printer(options, log, output);
      CallConnection connection(reactor, options, log);
      CallLines lines(reactor, options, connection, output, printer);
      try {
        reactor.spawn(server.run());
        if (rest) { reactor.spawn(write_rest(reactor, lines, std::move(pipe.write_end), *rest)); }
        reactor.run([](CallConnection& connects, CallLines& calls, ExitCode& gives) -> Task<void> {
          co_await connects.connect();
          gives = co_await calls.run();
        }(connection, lines, code));
      } catch (const std::exception& error) {
        failure = error.what();
        lines.abandon();
      }
      output.write_now();
    });
    dup2(before.get(), STDIN_FILENO);
    errors.write_end.reset();
    err = test::read_until_end(errors.read_end.get());
    return failure;
  }

  Reactor reactor;
  PlayedServer server;
  CallOptions options;
  ExitCode code = ExitCode::failed;
  std::string out;
  std::string err;
};

TEST_CASE("each line of stdin is a call, and the results have the order of the lines") {
  const test::DescriptorCheck check;
  Lines lines(echo);
  CHECK(lines.run("1\n[2, 3]\n\"4\"").empty());  // the last line needs no newline
  CHECK(lines.code == ExitCode::done);
  CHECK(lines.out == "1\n[2,3]\n\"4\"\n");
  CHECK(lines.server.requests().size() == 3);
  CHECK(lines.err.empty());
}

TEST_CASE("no line is no call, and success") {
  Lines lines(echo);
  CHECK(lines.run("").empty());
  CHECK(lines.code == ExitCode::done);
  CHECK(lines.out.empty());
  CHECK(lines.server.requests().empty());
}

TEST_CASE("so many calls are under way at a time, and no more") {
  Lines lines(echo);
  lines.options.pipeline = 3;
  std::string input;
  for (int i = 0; i < 20; ++i) { input += std::to_string(i) + "\n"; }
  CHECK(lines.run(input).empty());
  CHECK(lines.out == input);
  CHECK(lines.server.most_together() == 3);
}

std::string last_reply_with(const std::string& result) {
  return R"({"out":"m","result":)" + result + R"(,"last":true})";
}
TEST_CASE("what a server that shuts down has not answered is sent again on another connection") {
  const test::DescriptorCheck check;
  const PlayedServer* lines_server = nullptr;
  // A connection answers two requests, and reads on then without a reply.
  std::size_t answered = 0;
  Lines lines([&](const std::string& request) {
    const std::size_t connection = static_cast<std::size_t>(lines_server->connections());
    if (answered == 2 * connection) { return Bodies{}; }
    const bool is_last = ++answered == 2 * connection;
    return is_last ? Bodies{last_reply_with(params_of(request))} : echo(request).value();
  });
  lines_server = &lines.server;
  std::string input;
  for (int i = 0; i < 12; ++i) { input += std::to_string(i) + "\n"; }
  CHECK(lines.run(input).empty());
  CHECK(lines.code == ExitCode::done);
  CHECK(lines.out == input);
  CHECK(lines.server.connections() == 6);
  CHECK(lines.server.requests().size() > 12);
}

TEST_CASE("the last reply of all needs no other connection") {
  Lines lines(
      [](const std::string& request) { return Bodies{last_reply_with(params_of(request))}; });
  CHECK(lines.run("1\n").empty());
  CHECK(lines.out == "1\n");
  CHECK(lines.server.connections() == 1);
}

TEST_CASE("after a last reply stdin is read on, whatever it has") {
  struct Case {
    const char* rest;
    const char* out;
  };
  for (const Case each : {Case{"", "1\n"}, Case{"none\n", "1\nnull\n"}, Case{"2", "1\n2\n"},
                          Case{"2\n3\n", "1\n2\n3\n"}}) {
    CAPTURE(each.rest);
    Lines lines(
        [](const std::string& request) { return Bodies{last_reply_with(params_of(request))}; });
    lines.options.pipeline = 1;
    CHECK(lines.run("1\n", each.rest).empty());
    CHECK(lines.out == each.out);
  }
}

TEST_CASE("a line that is no JSON is told with its number, and the others are called") {
  Lines lines(echo);
  CHECK(lines.run("1\nnone\n3\n").empty());
  CHECK(lines.code == ExitCode::negative);
  CHECK(lines.out == "1\nnull\n3\n");
  CHECK(lines.err.find("line 2") != std::string::npos);
  CHECK(lines.err.find("not JSON: ") != std::string::npos);
  CHECK(std::count(lines.err.begin(), lines.err.end(), '\n') == 1);
  CHECK(lines.server.requests().size() == 2);
}

TEST_CASE("the status of several calls is the worst of theirs") {
  Lines lines([](const std::string& request) {
    if (params_of(request) != "2") { return echo(request); }
    return PlayedServer::Bodies(
        Bodies{R"({"out":"error","result":{"code":-32001,"message":"no"}})"});
  });
  CHECK(lines.run("1\n2\n3\n").empty());
  CHECK(lines.code == ExitCode::negative);
  CHECK(lines.out == "1\nnull\n3\n");
  CHECK(lines.err == "rpc-call: m on " + lines.server.address() + " failed for line 2: no\n");
}

TEST_CASE("replies of JSON-RPC that come in another order are printed in that of the lines") {
  int count = 0;
  Lines lines([&count](const std::string&) {
    if (++count < 3) { return PlayedServer::Bodies(Bodies{}); }
    return PlayedServer::Bodies(
        Bodies{json_rpc_reply(3, "33"), json_rpc_reply(1, "11"), json_rpc_reply(2, "22")});
  });
  lines.options.json_rpc = true;
  CHECK(lines.run("[1]\n[2]\n[3]\n").empty());
  CHECK(lines.out == "11\n22\n33\n");
}

TEST_CASE("a line that can't be the params of JSON-RPC is told, and not sent") {
  Lines lines([](const std::string&) { return Bodies{json_rpc_reply(2, "22")}; });
  lines.options.json_rpc = true;
  CHECK(lines.run("1\n[2]\n").empty());
  CHECK(lines.code == ExitCode::negative);
  CHECK(lines.out == "null\n22\n");
  CHECK(lines.err.find(std::string(kNotStructured)) != std::string::npos);
}

TEST_CASE("a second reply to a line breaks the protocol, wherever it comes") {
  Lines lines([](const std::string&) {
    return Bodies{json_rpc_reply(2, "22"), json_rpc_reply(2, "22")};
  });
  lines.options.json_rpc = true;
  CHECK(lines.run("[1]\n[2]\n") ==
        lines.server.address() + " sent more replies than there were calls (at line 2)");
  Lines more([](const std::string& request) {
    return Bodies{reply_with(params_of(request)), reply_with("0")};
  });
  CHECK(more.run("1\n") == more.server.address() + " sent more replies than there were calls");
}

TEST_CASE(
    "when a reply does not come, those that were read before their turn are shown, and no more") {
  int count = 0;
  Lines lines([&count](const std::string&) -> PlayedServer::Bodies {
    if (++count == 1) { return Bodies{json_rpc_reply(2, "22")}; }
    return std::nullopt;
  });
  lines.options.json_rpc = true;
  CHECK(lines.run("[1]\n[2]\n[3]\n").starts_with("cannot call "));
  CHECK(lines.out == "null\n22\n");
}

}  // namespace
}  // namespace handoff
