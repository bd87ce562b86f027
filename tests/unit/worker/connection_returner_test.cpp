// SPDX-License-Identifier: MIT
#include "worker/connection_returner.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Outcome = ConnectionReturner::Outcome;

/// A channel that takes what the test lets it take.
struct Fixture {
  Fixture() : returner(channel::Type::returned, owner()) {}

  ConnectionReturner::Owner owner() {
    ConnectionReturner::Owner owner;
    owner.send = [this](const std::string&, std::span<const int> descriptors) {
      if (answer.outcome == SendOutcome::failed && is_bad) {
        bool any = false;
        for (const int number : descriptors) { any = any || number == is_bad; }
        if (!any) { return SendResult{SendOutcome::sent}; }
      }
      if (answer.outcome == SendOutcome::sent) { sent.push_back(descriptors.size()); }
      return answer;
    };
    owner.has_been_read = [this] { return read; };
    owner.not_spilled = [this](const Connection& connection, int error) {
      not_spilled.push_back(connection.id);
      last_error = error;
    };
    owner.not_sent = [this](const Connection& connection, int error) {
      not_sent.push_back(connection.id);
      last_error = error;
    };
    return owner;
  }

  void add(std::size_t count, std::size_t unread = 0) {
    for (std::size_t i = 0; i < count; ++i) {
      Connection connection;
      connection.id = ++last_id;
      connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
      connection.unread.assign(unread, 'x');
      last_socket = connection.socket.get();
      returner.add(std::move(connection));
    }
  }

  SendResult answer{SendOutcome::sent};
  bool read = true;
  int is_bad = 0;  ///< a descriptor that fails
  int last_socket = 0;
  int last_error = 0;
  std::uint64_t last_id = 0;
  std::vector<std::size_t> sent;  ///< descriptors in each message
  std::vector<std::uint64_t> not_spilled;
  std::vector<std::uint64_t> not_sent;
  ConnectionReturner returner;
};

TEST_CASE("the next message goes when the one before was read") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(40);
  fixture.read = false;
  CHECK(fixture.returner.send() == Outcome::unread);
  CHECK(fixture.returner.send() == Outcome::unread);
  CHECK(fixture.sent == std::vector<std::size_t>{16});
  fixture.read = true;
  CHECK(fixture.returner.send() == Outcome::all_sent);
  CHECK(fixture.sent == std::vector<std::size_t>{16, 16, 8});
  CHECK(fixture.returner.waiting() == 0);
}

TEST_CASE(
    "connections that the master has copies of need not wait, for no descriptor comes along") {
  Fixture fixture;
  for (std::uint64_t i = 0; i < 40; ++i) {
    Connection kept;
    kept.id = channel::kKeptId | i;
    fixture.returner.add(std::move(kept));
  }
  fixture.read = false;
  CHECK(fixture.returner.send() == Outcome::all_sent);
  CHECK(fixture.sent == std::vector<std::size_t>{0, 0, 0});
}

TEST_CASE("long bytes take a descriptor more, and without one they wait") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(1, channel::kMaxUnread + 1);
  Outcome outcome{};
  {
    const test::DescriptorLimit limit(0);
    outcome = fixture.returner.send();
  }
  CHECK(outcome == Outcome::blocked);
  CHECK(fixture.returner.send() == Outcome::all_sent);
  CHECK(fixture.sent == std::vector<std::size_t>{2});
}

TEST_CASE("a full channel keeps everything for the next attempt") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(3);
  fixture.answer.outcome = SendOutcome::would_block;
  CHECK(fixture.returner.send() == Outcome::blocked);
  CHECK(fixture.returner.waiting() == 3);
}

TEST_CASE("a connection that can't be sent ends, and the others are returned") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(2);
  fixture.is_bad = fixture.last_socket;
  fixture.add(2);
  fixture.answer = {SendOutcome::failed, 0, EPERM};
  CHECK(fixture.returner.send() == Outcome::all_sent);
  CHECK(fixture.not_sent == std::vector<std::uint64_t>{2});
  CHECK(fixture.last_error == EPERM);
  CHECK(fixture.returner.waiting() == 0);
}

TEST_CASE("a connection whose bytes no file can hold ends, and the others are returned") {
  const test::DescriptorCheck check;
  Fixture fixture;
  fixture.add(1);
  fixture.add(1, channel::kMaxUnread + 1);
  fixture.add(1);
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit lowered{channel::kMaxUnread, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
  const Outcome outcome = fixture.returner.send();
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  CHECK(outcome == Outcome::all_sent);
  CHECK(fixture.sent == std::vector<std::size_t>{2});
  CHECK(fixture.not_spilled == std::vector<std::uint64_t>{2});
  CHECK(fixture.last_error == EFBIG);
}

}  // namespace
}  // namespace handoff
