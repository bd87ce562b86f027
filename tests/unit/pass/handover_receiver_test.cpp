// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/pass/fd_passing.hpp>
#include <handoff/pass/handover_receiver.hpp>
#include <handoff/wire/errors.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::operator""s;
using test::thrown_by;
using Step = HandoverReceiver::Step;

struct Pair {
  explicit Pair(int type = SOCK_STREAM) : Pair(make_socket_pair(type)) {}
  explicit Pair(std::pair<Fd, Fd> ends)
      : sender(std::move(ends.first)),
        receiver_end(std::move(ends.second)),
        receiver(receiver_end.get(), "there") {}

  void send(std::string_view bytes, std::size_t count) const {
    const std::vector<int> numbers(count, STDIN_FILENO);
    REQUIRE(send_fds(sender.get(), bytes, numbers).bytes_sent == bytes.size());
  }
  void send_empty_packet() const { REQUIRE(::send(sender.get(), "", 0, 0) == 0); }
  /// What the next message is made of, once the rest of the last one was read.
  Received next() {
    Step step = receiver.step();
    while (step == Step::more) { step = receiver.step(); }
    REQUIRE(step == Step::message);
    return receiver.take();
  }

  Fd sender;
  Fd receiver_end;
  HandoverReceiver receiver;
};

TEST_CASE("a plain message may tell the client of a connection that comes from a proxy") {
  Pair pair;
  pair.send("\0"s + "192.0.2.7:4660", 1);
  const Received told = pair.next();
  REQUIRE(told.client);
  CHECK(told.client->text() == "192.0.2.7:4660");
  pair.send("\0"s, 1);
  CHECK_FALSE(pair.next().client);
  pair.send("any text", 1);
  CHECK_FALSE(pair.next().client);
}

TEST_CASE("a plain message is whole with its descriptors, and its text goes on for any length") {
  Pair pair;
  for (const std::size_t length : std::array<std::size_t, 4>{1, 2, 5000, 100'000}) {
    pair.send(std::string(length, 'x'), 1);
    pair.send("and more", 0);
    CHECK(pair.next().descriptors.size() == 1);
  }
  Step step = pair.receiver.step();
  while (step == Step::more) { step = pair.receiver.step(); }
  CHECK(step == Step::would_block);
  CHECK(!pair.receiver.is_within_message());
}

TEST_CASE("bytes before the first descriptor are a message without any") {
  Pair pair;
  pair.send("text", 0);
  CHECK(pair.next().descriptors.empty());
}

TEST_CASE("a message with a header arrives in pieces, and is followed by no text") {
  Pair pair;
  pair.send("HOFD\1", 1);
  CHECK(pair.receiver.step() == Step::more);
  CHECK(pair.receiver.is_within_message());
  CHECK(pair.receiver.step() == Step::would_block);
  pair.send("\1\1\0\2in"s, 0);
  CHECK(pair.receiver.step() == Step::message);
  CHECK(!pair.receiver.is_within_message());
  const Received received = pair.receiver.take();
  CHECK(received.names == std::vector<std::string>{"in"});
  CHECK(received.confirm);
  CHECK(received.descriptors.size() == 1);
  pair.send("text", 0);
  CHECK(pair.next().descriptors.empty());
}

TEST_CASE("the end is an end between two messages, and an error within one") {
  Pair between;
  between.send("x", 1);
  between.sender.reset();
  between.next();
  CHECK(between.receiver.step() == Step::end);
  Pair within;
  within.send("HOFD\1", 1);
  within.sender.reset();
  CHECK(within.receiver.step() == Step::more);
  const auto error = thrown_by<ProtocolError>([&] { within.receiver.step(); });
  CHECK(error.what() == "cannot receive on there: the sender closed within a message"s);
}

TEST_CASE("an empty packet says nothing, before a message and before the end") {
  Pair pair(SOCK_SEQPACKET);
  pair.send_empty_packet();
  CHECK(pair.receiver.step() == Step::more);
  CHECK(pair.receiver.step() == Step::would_block);
  pair.send_empty_packet();
  pair.send("x", 1);
  pair.sender.reset();
  CHECK(pair.next().descriptors.size() == 1);
  CHECK(pair.receiver.step() == Step::end);
}

TEST_CASE("a packet of the greatest length is a message, and a longer one an error that says so") {
  Pair pair(SOCK_SEQPACKET);
  pair.send(std::string(handover::kMaxMessage, 'x'), 1);
  CHECK(pair.next().descriptors.size() == 1);
  pair.send(std::string(handover::kMaxMessage + 1, 'x'), 1);
  const auto error = thrown_by<ProtocolError>([&] { pair.receiver.step(); });
  CHECK(error.what() ==
        "cannot receive on there: a packet of more than 64776 bytes (send a shorter one, "
        "or use a stream socket)"s);
}

TEST_CASE("descriptors that do not fit are an error that names the limit, and are closed") {
  Pair pair;
  pair.send("x", 3);
  std::string text;
  {
    const test::DescriptorLimit limit(test::next_descriptor() + 1);
    text = thrown_by<ProtocolError>([&] { pair.receiver.step(); }).what();
  }
  CHECK(text.starts_with("cannot receive on there: more descriptors than fit (the limit is "));
}

}  // namespace
}  // namespace handoff
