// SPDX-License-Identifier: MIT
#include "commands/rendezvous_options.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "os/socket.hpp"
#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using test::thrown_by;
using test::Words;

std::string problem_of(const std::string& word, int dash = -1) {
  return thrown_by<InvalidArgument>([&] { parse_socket(word, dash); }).what();
}

std::string word_of(int number) {
  return "fd:" + std::to_string(number);
}

TEST_CASE("the word SOCKET is a path, or an abstract name") {
  for (const std::string word : {"name", "./name", "/run/name.sock", "./7", "./host:80", "a:b"}) {
    CAPTURE(word);
    const Address address = parse_socket(word, 0);
    CHECK(address.kind == Address::Kind::unix_path);
    CHECK(address.name == word);
    CHECK(address.text == word);
  }
  CHECK(parse_socket("@name", 0).kind == Address::Kind::abstract);
}

TEST_CASE("a word that is meant for something else than a socket's file is refused with a remedy") {
  CHECK(problem_of("7") == "SOCKET 7: write fd:7 for the descriptor, or ./7 for a socket's file");
  for (const std::string word : {"localhost:80", ":80", "http://host/"}) {
    CAPTURE(word);
    CHECK(problem_of(word) ==
          "SOCKET " + word +
              ": descriptors pass through Unix sockets alone: write a path such "
              "as ./name.sock, or @name");
  }
}

TEST_CASE("a descriptor is taken for the SOCKET when it is a Unix socket") {
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const Address address = parse_socket(word_of(ours.get()), -1);
  CHECK(address.kind == Address::Kind::inherited);
  CHECK(address.number == ours.get());
  const Address dash = parse_socket("-", theirs.get());
  CHECK(dash.number == theirs.get());
  CHECK(dash.text == "-");
}

TEST_CASE("a descriptor that is no Unix socket is refused") {
  const Fd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string word = word_of(tcp.get());
  CHECK(problem_of(word) == "SOCKET " + word + ": the descriptor is not a Unix socket");
  int closed = 0;
  {
    const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    closed = ours.get();
  }
  CHECK(problem_of("-", closed) == "SOCKET -: the descriptor is not a Unix socket");
}

RendezvousOptions options_of(const Words& words) {
  CommandLine line(words);
  Tool tool("tool", line.argc(), line.argv());
  RendezvousOptions options;
  add_rendezvous_options(tool, options);
  tool.parse();
  return options;
}

TEST_CASE("the mode of a socket's file is octal, and has permissions only") {
  CHECK(options_of({}).mode == 0600);
  CHECK(options_of({"--mode", "660"}).mode == 0660);
  CHECK(options_of({"--mode", "0"}).mode == 0);
  CHECK(options_of({"--mode", "0777"}).mode == 0777);
  for (const std::string mode : {"8", "1000", "-1", "rw", "66 0"}) {
    CAPTURE(mode);
    CHECK(thrown_by<InvalidArgument>([&] {
            options_of({"--mode", mode});
          }).what() == "--mode " + mode + ": write it as 600 or 660");
  }
}

TEST_CASE("--allow-uid is repeatable") {
  CHECK(options_of({"--allow-uid", "1", "--allow-uid=2"}).allowed_uids == std::vector<uid_t>{1, 2});
}

}  // namespace
}  // namespace handoff
