// SPDX-License-Identifier: MIT
#include "commands/call_once.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/played_server.hpp"
#include "unit/support.hpp"

namespace handoff {

namespace {

using test::PlayedServer;

constexpr const char* kBusy = R"({"out":"error","result":{"code":-32003,"message":"busy"}})";
constexpr const char* kSeven = R"({"out":"m","result":7})";

/// One call of rpc-call to a server that is played, and what it says.
struct OneCall {
  explicit OneCall(PlayedServer::Answer answer) : server(reactor, std::move(answer)) {
    options.address = Address::parse(server.address());
    options.method = "m";
  }

  ExitCode run() {
    Pipe errors = make_pipe();
    ExitCode code = ExitCode::failed;
    std::exception_ptr failure;
    out = test::written_to(STDOUT_FILENO, [&] {
      StderrLog log("rpc-call", errors.write_end.get());
      StdoutWriter output(reactor);
      ReplyPrinter printer(options, log, output);
      CallConnection connection(reactor, options, log);
      CallOnce once(options, connection, printer);
      try {
        reactor.spawn(server.run());
        reactor.run([](CallOnce& call, ExitCode& gives) -> Task<void> {
          gives = co_await call.run();
        }(once, code));
      } catch (...) { failure = std::current_exception(); }
      output.write_now();
    });
    errors.write_end.reset();
    err = test::read_until_end(errors.read_end.get());
    if (failure) { std::rethrow_exception(failure); }
    return code;
  }

  Reactor reactor;
  PlayedServer server;
  CallOptions options;
  std::string out;
  std::string err;
};

TEST_CASE("a call sends its method and its params, and prints the result") {
  const test::DescriptorCheck check;
  OneCall call([](const std::string&) { return std::vector<std::string>{kSeven}; });
  call.options.params = "[1]";
  CHECK(call.run() == ExitCode::done);
  CHECK(call.server.requests() == std::vector<std::string>{R"({"in":"m","params":[1]})"});
  CHECK(call.out == "7\n");
  CHECK(call.err.empty());
}

TEST_CASE("a call in JSON-RPC has an id, and a reply to another one breaks the protocol") {
  std::string id = "1";
  OneCall call([&id](const std::string&) {
    return std::vector<std::string>{R"({"jsonrpc":"2.0","result":7,"id":)" + id + "}"};
  });
  call.options.json_rpc = true;
  CHECK(call.run() == ExitCode::done);
  CHECK(call.out == "7\n");
  id = "2";
  CHECK_THROWS_AS(call.run(), ProtocolError);
}

TEST_CASE("a call that the server refuses for now is made again on another connection") {
  int left = 1;
  OneCall call([&left](const std::string&) {
    return std::vector<std::string>{left-- > 0 ? kBusy : kSeven};
  });
  call.options.retries = 3;
  CHECK(call.run() == ExitCode::done);
  CHECK(call.server.connections() == 2);
  CHECK(call.out == "7\n");
  CHECK(call.err.empty());
}

TEST_CASE("the last refusal is shown when no retry is left, or no time") {
  OneCall call([](const std::string&) { return std::vector<std::string>{kBusy}; });
  SUBCASE("no retry") {
    call.options.retries = 1;
  }
  SUBCASE("no time") {
    call.options.retries = 1000;
    call.options.timeout = std::chrono::milliseconds(200);
  }
  CHECK(call.run() == ExitCode::negative);
  CHECK(call.server.connections() >= 2);
  CHECK(call.out.empty());
  CHECK(call.err == "rpc-call: m on " + call.server.address() + " failed: busy\n");
}

TEST_CASE("a call that the server has run is not made again, however it has failed") {
  OneCall call([](const std::string&) {
    return std::vector<std::string>{R"({"out":"error","result":{"code":-32001,"message":"no"}})"};
  });
  call.options.retries = 3;
  CHECK(call.run() == ExitCode::negative);
  CHECK(call.server.connections() == 1);
}

TEST_CASE("a server that sends a second reply, or ends before the first, breaks the protocol") {
  PlayedServer::Bodies bodies;
  SUBCASE("two") {
    bodies = {kSeven, kSeven};
  }
  SUBCASE("none") {}
  OneCall call([&](const std::string&) { return bodies; });
  call.options.retries = 3;
  CHECK_THROWS_AS(call.run(), ProtocolError);
  CHECK(call.server.connections() == 1);
  CHECK(call.out.empty());
}

TEST_CASE("a reply that was there before the call is no answer to it") {
  OneCall call([](const std::string&) { return std::nullopt; });
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  std::string frame;
  append_frame(frame, kSeven);
  test::write_text(theirs.get(), frame);
  call.options.address = Address::parse("fd:" + std::to_string(ours.release()));
  const auto error = test::thrown_by<ProtocolError>([&] { call.run(); });
  CHECK(std::string(error.what()) ==
        call.options.address.text + " sent something before there was a call");
}

constexpr const char* kUnknown =
    R"({"out":"error","result":{"code":-32601,"message":"no such method"}})";

TEST_CASE("after a method that the server does not have, one that resembles it is named") {
  OneCall call([](const std::string& request) {
    const bool is_list = request.find("methods") != std::string::npos;
    return std::vector<std::string>{is_list ? R"({"out":"methods","result":["status","stop"]})"
                                            : kUnknown};
  });
  std::string remedy;
  SUBCASE("resembles") {
    call.options.method = "statsu";
    remedy = " (did you mean status?)";
  }
  SUBCASE("resembles none") {
    call.options.method = "upper";
  }
  CHECK(call.run() == ExitCode::negative);
  CHECK(call.err == "rpc-call: " + call.options.method + " on " + call.server.address() +
                        " failed: no such method" + remedy + "\n");
}

TEST_CASE("a server that does not tell its methods costs the suggestion alone") {
  OneCall call([](const std::string& request) {
    const bool is_list = request.find("methods") != std::string::npos;
    return is_list ? std::vector<std::string>{"no JSON"} : std::vector<std::string>{kUnknown};
  });
  CHECK(call.run() == ExitCode::negative);
  CHECK(call.err == "rpc-call: m on " + call.server.address() + " failed: no such method\n");
}

TEST_CASE("the names of methods are printed one a line") {
  OneCall call([](const std::string&) {
    return std::vector<std::string>{R"({"out":"methods","result":["a","b.c"]})"};
  });
  call.options.list = true;
  CHECK(call.run() == ExitCode::done);
  CHECK(call.out == "a\nb.c\n");
}

}  // namespace
}  // namespace handoff
