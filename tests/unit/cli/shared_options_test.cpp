// SPDX-License-Identifier: MIT
#include "cli/shared_options.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using test::said_by;
using test::thrown_by;
using test::Variable;

std::vector<Address> inherited() {
  std::vector<Address> listen;
  add_inherited_listeners(listen);
  return listen;
}

TEST_CASE("a server's descriptor must be open, for reading and writing") {
  const auto word = [](const Fd& fd) { return "fd:" + std::to_string(fd.get()); };
  const auto problem = [](const std::string& text) -> std::string {
    return thrown_by<InvalidArgument>([&] { (void)parse_servers(text); }).what();
  };
  const auto [socket, peer] = make_socket_pair(SOCK_STREAM);
  CHECK(parse_servers(word(socket)).all.at(0).number == socket.get());
  Pipe pipe = make_pipe();
  for (Fd* end : {&pipe.read_end, &pipe.write_end}) {
    const std::string text = word(*end);
    CHECK(problem(text) == text + ": the descriptor is not open for reading and writing");
    end->reset();
    CHECK(problem(text) == text + ": the descriptor is not open");
  }
}

TEST_CASE("listeners that the service manager passed are descriptors from 3 on") {
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "2");
  const std::vector<Address> listen = inherited();
  REQUIRE(listen.size() == 2);
  CHECK(listen[0].kind == Address::Kind::inherited);
  CHECK(listen[0].number == 3);
  CHECK(listen[1].number == 4);
}

TEST_CASE("listeners that were passed to another process are not ours") {
  const Variable pid("LISTEN_PID", "1");
  const Variable count("LISTEN_FDS", "2");
  CHECK(inherited().empty());
}

TEST_CASE("half of the service manager's variables is none") {
  {
    const Variable pid("LISTEN_PID", std::to_string(getpid()));
    CHECK(inherited().empty());
  }
  {
    const Variable count("LISTEN_FDS", "2");
    CHECK(inherited().empty());
  }
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "none");
  CHECK(inherited().empty());
}

TEST_CASE("listeners that the service manager passed come behind those of the command line") {
  const Variable pid("LISTEN_PID", std::to_string(getpid()));
  const Variable count("LISTEN_FDS", "1");
  std::vector<Address> listen{Address::parse("/x")};
  add_inherited_listeners(listen);
  REQUIRE(listen.size() == 2);
  CHECK(listen[0].name == "/x");
  CHECK(listen[1].number == 3);
}

TEST_CASE("-l is repeatable, and --public is a flag") {
  CommandLine line({"-l", ":1", "--listen=/x", "--public", "-l", "@y"});
  Tool tool("tool", line.argc(), line.argv());
  std::vector<Address> listen;
  bool allow_public = false;
  add_listen_options(tool, listen, allow_public);
  tool.parse();
  REQUIRE(listen.size() == 3);
  CHECK(listen[0].text == "127.0.0.1:1");
  CHECK(listen[1].text == "/x");
  CHECK(listen[2].text == "@y");
  CHECK(allow_public);
}

TEST_CASE("a budget of memory is a number of bytes, with a unit or without") {
  const auto limit_of = [](const std::string& size) {
    CommandLine line({"--max-memory", size});
    Tool tool("tool", line.argc(), line.argv());
    SessionLimits limits;
    add_session_options(tool, limits);
    tool.parse();
    return limits.memory->limit();
  };
  CHECK(limit_of("256MiB") == std::size_t{256} << 20);
  CHECK(limit_of("1G") == std::size_t{1} << 30);
  CHECK(limit_of("65536") == std::size_t{1} << 16);
  for (const char* wrong : {"0", "65535", "1GB1", "-1", "much", "129TiB"}) {
    CAPTURE(wrong);
    const std::string said = said_by({"--max-memory", wrong}, 2, [](Tool& tool) {
      SessionLimits limits;
      add_session_options(tool, limits);
      tool.parse();
      return ExitCode::done;
    });
    CHECK(said.find("--max-memory") != std::string::npos);
  }
}

}  // namespace
}  // namespace handoff
