// SPDX-License-Identifier: MIT
#include "worker/master_channel.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A worker's end of a channel, and the master's in the hands of the test.
class Channel {
 public:
  Channel() {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    master_ = std::move(ours);
    link = std::make_shared<MasterChannel>(reactor_, life(), traffic(), std::move(theirs));
  }

  /// What the master reads in each of its turns, from the first on, when connections with so many
  /// unread bytes are returned.
  std::vector<std::size_t> batches(const std::vector<std::size_t>& unread) {
    std::vector<std::size_t> batches;
    const auto body = [&]() -> Task<void> {
      link->start(1000);
      co_await turns();
      CHECK(read() == 0);  // HELLO and READY
      for (const std::size_t size : unread) { give_back(size); }
      do {
        co_await turns();
        batches.push_back(read());
      } while (batches.back() > 0);
    };
    reactor_.run(body());
    return batches;
  }

  /// The worker gets these messages of its master, one after another.
  void receive(const std::vector<std::string>& messages) {
    const auto body = [&]() -> Task<void> {
      link->start(1000);
      for (const std::string& message : messages) {
        CHECK(send_fds(master_.get(), message, {}).outcome == SendOutcome::sent);
      }
      co_await turns();
    };
    reactor_.run(body());
  }

  Task<void> turns() {
    for (int i = 0; i < 20; ++i) { co_await reactor_.yield(); }
  }

  void give_back(std::size_t unread) {
    Connection connection;
    connection.unread.assign(unread, 'x');
    connection.socket = std::move(make_socket_pair(SOCK_STREAM).first);
    link->give_back(std::move(connection));
  }

  /// Reads all that is there; how many descriptors came.
  std::size_t read() {
    std::size_t count = 0;
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      const ReceiveResult result = recv_fds(master_.get(), packet, channel::kMaxDescriptors);
      if (result.outcome != ReceiveOutcome::received) { return count; }
      count += result.descriptors.size();
    }
  }

  /// All messages that the master has got and not read.
  std::vector<channel::Message> messages_sent() {
    std::vector<channel::Message> messages;
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      const ReceiveResult result = recv_fds(master_.get(), packet, channel::kMaxDescriptors);
      if (result.outcome != ReceiveOutcome::received) { return messages; }
      messages.push_back(*channel::decode({packet.data(), result.size}));
    }
  }

  std::shared_ptr<MasterChannel> link;
  std::vector<std::size_t> not_returned;  ///< unread bytes of each connection
  bool threads_hang = false;
  std::size_t heard = 0;  ///< how often the master was said to have spoken

 private:
  MasterChannel::LifeEvents life() {
    MasterChannel::LifeEvents events;
    events.master_heard = [this] { ++heard; };
    return events;
  }
  MasterChannel::TrafficEvents traffic() {
    MasterChannel::TrafficEvents events;
    events.connection_not_returned = [this](std::size_t unread, int error) {
      CHECK(error == EFBIG);
      not_returned.push_back(unread);
    };
    events.requests_asked = [this](const std::function<void(std::uint64_t)>& answer) {
      if (!threads_hang) { answer(7); }
    };
    return events;
  }

  Reactor reactor_;
  Fd master_;
};

TEST_CASE("a worker returns one message at a time, when the master has read the last") {
  const test::DescriptorCheck check;
  Channel channel;
  CHECK(channel.batches(std::vector<std::size_t>(40)) == std::vector<std::size_t>{16, 16, 8, 0});
  CHECK(channel.link->idle());
}

TEST_CASE("a connection whose unread bytes no file can hold ends, and others are returned") {
  const test::DescriptorCheck check;
  Channel channel;
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit lowered{channel::kMaxUnread, limit.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lowered) == 0);
  const std::vector<std::size_t> batches = channel.batches({0, channel::kMaxUnread + 1, 0});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, before);
  CHECK(batches == std::vector<std::size_t>{2, 0});
  CHECK(channel.not_returned == std::vector<std::size_t>{channel::kMaxUnread + 1});
  CHECK(channel.link->idle());
}

TEST_CASE("a master has shown itself with its first message, whichever that is") {
  const std::vector<std::string> messages = {channel::encode_requests(0), channel::encode_drain({}),
                                             channel::encode_passing(channel::Type::listener, 0)};
  for (const std::string& first : messages) {
    Channel channel;
    channel.receive({});
    CHECK(!channel.link->heard());
    CHECK(channel.heard == 0);
    Channel other;
    other.receive({first, channel::encode_requests(0)});
    CHECK(other.link->heard());
    CHECK(other.heard == 1);
  }
}

TEST_CASE("a worker answers a question when none of its threads hangs") {
  for (const bool hangs : {false, true}) {
    Channel channel;
    channel.threads_hang = hangs;
    channel.receive({channel::encode_requests(0)});
    const std::vector<channel::Message> sent = channel.messages_sent();
    REQUIRE(!sent.empty());
    CHECK(sent.front().type == channel::Type::hello);
    CHECK((sent.back().type == channel::Type::requests) == !hangs);
    CHECK(sent.back().requests == (hangs ? 0 : 7));
  }
}

TEST_CASE("an owner that has set no function is told nothing, and what is passed to it is closed") {
  const test::DescriptorCheck check;
  Reactor reactor;
  std::pair<Fd, Fd> ends = make_socket_pair(SOCK_SEQPACKET);
  Fd& master = ends.first;
  const auto link = std::make_shared<MasterChannel>(
      reactor, MasterChannel::LifeEvents(), MasterChannel::TrafficEvents(), std::move(ends.second));
  const auto send = [&](const std::string& message, const std::vector<int>& descriptors) {
    CHECK(send_fds(master.get(), message, descriptors).outcome == SendOutcome::sent);
  };
  reactor.run([](Reactor& runs, MasterChannel& its, auto& sends, Fd& end) -> Task<void> {
    its.start(1000);
    channel::PackedConnections packed(channel::Type::connection);
    packed.add(Connection());
    const Pipe pipe = make_pipe();
    sends(channel::encode_passing(channel::Type::listener, 0), {});
    sends(channel::encode_passing(channel::Type::listener, 1), {pipe.read_end.get()});
    sends(channel::encode_passing(channel::Type::queue, 2),
          {pipe.read_end.get(), pipe.write_end.get()});
    sends(packed.bytes(), {pipe.read_end.get()});
    sends(channel::encode_drain({}), {});
    sends(channel::encode_requests(0), {});
    for (int i = 0; i < 20; ++i) { co_await runs.yield(); }
    CHECK(its.heard());
    std::vector<char> packet(channel::kMaxMessage);
    std::vector<channel::Message> messages;
    for (;;) {
      const ReceiveResult result = recv_fds(end.get(), packet, channel::kMaxDescriptors);
      if (result.outcome != ReceiveOutcome::received) { break; }
      messages.push_back(*channel::decode({packet.data(), result.size}));
    }
    REQUIRE(messages.size() == 4);  // after HELLO, READY and STARTED
    CHECK(messages.back().type == channel::Type::requests);
    CHECK(messages.back().requests == 0);
    end.reset();
    for (int i = 0; i < 20; ++i) { co_await runs.yield(); }
    CHECK(its.phase() == MasterChannelPhase::gone);
    its.close();
  }(reactor, *link, send, master));
}

TEST_CASE("what is no message of a master shows none") {
  for (const std::string& message :
       {std::string("220 mail.example.com"), channel::encode_ready()}) {
    Channel channel;
    const auto error = test::thrown_by<ProtocolError>([&] { channel.receive({message}); });
    CHECK(std::string(error.what()).starts_with("cannot read the channel: the master sent "));
    CHECK(!channel.link->heard());
    CHECK(channel.heard == 0);
  }
}

}  // namespace
}  // namespace handoff
