// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

constexpr std::array<int, 2> kTypes = {SOCK_STREAM, SOCK_SEQPACKET};

struct Received {
  ReceiveOutcome outcome;
  std::string text;
  std::vector<Fd> descriptors;
};

Received receive(const Fd& socket, std::size_t max_descriptors) {
  std::array<char, 64> buffer{};
  ReceiveResult result = recv_fds(socket.get(), buffer, max_descriptors);
  return {result.outcome, std::string(buffer.data(), result.size), std::move(result.descriptors)};
}

SendResult send(const Fd& socket, std::string_view bytes,
                const std::vector<int>& descriptors = {}) {
  return send_fds(socket.get(), bytes, descriptors);
}

/// Sends until the queue is full; how many messages fitted.
std::size_t fill(const Fd& socket, std::string_view bytes, const std::vector<int>& descriptors) {
  for (std::size_t count = 0; count < 1'000'000; ++count) {
    if (send(socket, bytes, descriptors).outcome != SendOutcome::sent) { return count; }
  }
  return 0;
}

TEST_CASE("descriptors arrive usable and close-on-exec, from one to as many as a message has") {
  const test::DescriptorCheck check;
  for (const int type : kTypes) {
    for (const std::size_t count : {1U, 2U, 3U, 16U, 252U, 253U}) {
      CAPTURE(type);
      CAPTURE(count);
      const auto [ours, theirs] = make_socket_pair(type);
      auto [read_end, write_end] = make_pipe();
      CHECK(send(ours, "!", std::vector<int>(count, write_end.get())).outcome == SendOutcome::sent);
      write_end.reset();

      Received received = receive(theirs, count);
      CHECK(received.outcome == ReceiveOutcome::received);
      CHECK(received.text == "!");
      REQUIRE(received.descriptors.size() == count);
      for (const Fd& fd : received.descriptors) {
        CHECK(test::closes_on_exec(fd.get()));
        test::write_text(fd.get(), "x");
      }
      received.descriptors.clear();
      CHECK(test::read_until_end(read_end.get()) == std::string(count, 'x'));
    }
  }
}

TEST_CASE("descriptors arrive in their order, and the sender keeps its own") {
  const test::DescriptorCheck check;
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const auto [read_end, write_end] = make_pipe();
  send(ours, "!", {write_end.get(), ours.get(), read_end.get()});
  const Received received = receive(theirs, 3);
  REQUIRE(received.descriptors.size() == 3);
  CHECK(test::same_file(received.descriptors[0].get(), write_end.get()));
  CHECK(test::same_file(received.descriptors[1].get(), ours.get()));
  CHECK(test::same_file(received.descriptors[2].get(), read_end.get()));
  CHECK(test::is_open(read_end.get()));
  CHECK(test::is_open(write_end.get()));
}

TEST_CASE("a message can come without descriptors") {
  const test::DescriptorCheck check;
  for (const int type : kTypes) {
    const auto [ours, theirs] = make_socket_pair(type);
    const SendResult sent = send(ours, "text");
    CHECK(sent.outcome == SendOutcome::sent);
    CHECK(sent.bytes_sent == 4);
    const Received received = receive(theirs, 1);
    CHECK(received.outcome == ReceiveOutcome::received);
    CHECK(received.text == "text");
    CHECK(received.descriptors.empty());
    CHECK(receive(theirs, 1).outcome == ReceiveOutcome::would_block);
  }
}

TEST_CASE("fewer descriptors than asked for are received") {
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  send(ours, "!", {ours.get()});
  CHECK(receive(theirs, 16).descriptors.size() == 1);
}

TEST_CASE("more descriptors than the kernel takes are a caller's mistake") {
  const test::DescriptorCheck check;
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const std::vector<int> many(254, ours.get());
  const auto error = test::thrown_by<std::invalid_argument>(
      [&, number = ours.get()] { send_fds(number, std::string_view("!"), many); });
  CHECK(std::string(error.what()) == "at most 253 descriptors fit in a message");
  CHECK(receive(theirs, 253).outcome == ReceiveOutcome::would_block);
}

TEST_CASE("more descriptors than asked for are all closed") {
  const test::DescriptorCheck check;
  for (const int type : kTypes) {
    for (const std::size_t asked : {0U, 1U, 2U, 3U, 4U, 15U, 16U, 252U}) {
      for (const std::size_t more : {1U, 2U, 3U, 100U}) {
        if (asked + more > kMaxDescriptorsPerMessage) { continue; }
        CAPTURE(asked);
        CAPTURE(more);
        const auto [ours, theirs] = make_socket_pair(type);
        send(ours, "!", std::vector<int>(asked + more, ours.get()));
        const test::DescriptorCheck none_received;
        const Received received = receive(theirs, asked);
        CHECK(received.outcome == ReceiveOutcome::truncated);
        CHECK(received.text == "!");
        CHECK(received.descriptors.empty());
        send(ours, "next", {ours.get()});
        CHECK(receive(theirs, 1).text == "next");
      }
    }
  }
}

TEST_CASE("a receiver at its descriptor limit gets nothing, loses nothing, and goes on") {
  const test::DescriptorCheck check;
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const auto lowest_free = static_cast<std::size_t>(ours.duplicate().get());
  for (const std::size_t room : {0U, 1U, 2U}) {
    CAPTURE(room);
    send(ours, "!", {ours.get(), ours.get(), ours.get()});
    {
      const test::DescriptorCheck none_received;
      const Received received = [&socket = theirs, room, lowest_free] {
        // As many numbers are free below the limit, at least when nothing is open above.
        const test::DescriptorLimit limit(room == 0 ? 0 : lowest_free + room);
        return receive(socket, 3);
      }();
      CHECK(received.outcome == ReceiveOutcome::truncated);
      CHECK(received.descriptors.empty());
    }
    send(ours, "!", {ours.get(), ours.get(), ours.get()});
    CHECK(receive(theirs, 3).descriptors.size() == 3);
  }
}

TEST_CASE("a packet that is longer than the buffer is cut, and its descriptors are closed") {
  const test::DescriptorCheck check;
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  send(ours, std::string(65, 'x'), {ours.get()});
  const Received received = receive(theirs, 1);
  CHECK(received.outcome == ReceiveOutcome::truncated);
  CHECK(received.text == std::string(64, 'x'));
  CHECK(received.descriptors.empty());
}

TEST_CASE("a stream gives the rest of its bytes later") {
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  send(ours, std::string(65, 'x'), {ours.get()});
  CHECK(receive(theirs, 1).descriptors.size() == 1);
  const Received rest = receive(theirs, 1);
  CHECK(rest.text == "x");
  CHECK(rest.descriptors.empty());
}

TEST_CASE("a full queue would block, and takes the message once there is room") {
  const test::DescriptorCheck check;
  for (const int type : kTypes) {
    CAPTURE(type);
    const auto [ours, theirs] = make_socket_pair(type);
    const std::size_t sent = fill(ours, "!", {ours.get()});
    REQUIRE(sent > 0);
    for (std::size_t i = 0; i < sent; ++i) {
      const Received received = receive(theirs, 1);
      REQUIRE(received.text == "!");
      REQUIRE(received.descriptors.size() == 1);
    }
    CHECK(receive(theirs, 1).outcome == ReceiveOutcome::would_block);
    CHECK(send(ours, "?", {ours.get()}).outcome == SendOutcome::sent);
    CHECK(receive(theirs, 1).text == "?");
  }
}

TEST_CASE("a stream takes a part of many bytes, and says how many") {
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const std::string many(16 << 20, 'x');
  const SendResult result = send(ours, many, {ours.get()});
  CHECK(result.outcome == SendOutcome::sent);
  CHECK(result.bytes_sent > 0);
  CHECK(result.bytes_sent < many.size());
}

TEST_CASE("sending to a closed peer is told, without a signal") {
  for (const int type : kTypes) {
    auto [ours, theirs] = make_socket_pair(type);
    theirs.reset();
    CHECK(send(ours, "!", {ours.get()}).outcome == SendOutcome::closed);
    CHECK(send(ours, "!").outcome == SendOutcome::closed);
  }
}

TEST_CASE("what was sent before closing is received, then the end") {
  const test::DescriptorCheck check;
  for (const int type : kTypes) {
    auto [ours, theirs] = make_socket_pair(type);
    send(theirs, "last", {theirs.get()});
    theirs.reset();
    const Received last = receive(ours, 1);
    CHECK(last.text == "last");
    CHECK(last.descriptors.size() == 1);
    // The descriptor that was passed is the socket itself: it ends once that is closed too.
    CHECK(receive(ours, 1).outcome == ReceiveOutcome::would_block);
  }
  for (const int type : kTypes) {
    auto [ours, theirs] = make_socket_pair(type);
    theirs.reset();
    CHECK(receive(ours, 1).outcome == ReceiveOutcome::end);
    CHECK(receive(ours, 1).outcome == ReceiveOutcome::end);
  }
}

TEST_CASE("a peer that died with messages unread resets first; its own can still be read") {
  const test::DescriptorCheck check;
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  send(ours, "never read");
  send(theirs, "first", {ours.get()});
  send(theirs, "second");
  theirs.reset();
  CHECK(receive(ours, 1).outcome == ReceiveOutcome::reset);
  const Received first = receive(ours, 1);
  CHECK(first.outcome == ReceiveOutcome::received);
  CHECK(first.text == "first");
  CHECK(first.descriptors.size() == 1);
  CHECK(receive(ours, 1).text == "second");
  CHECK(receive(ours, 1).outcome == ReceiveOutcome::end);
}

TEST_CASE("a message that was looked at stays, and its descriptors are copies") {
  const test::DescriptorCheck check;
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const auto [read_end, write_end] = make_pipe();
  send(ours, "first", {write_end.get(), write_end.get()});
  send(ours, "second");
  for (int i = 0; i < 2; ++i) {
    std::array<char, 64> buffer{};
    const ReceiveResult seen = recv_fds(theirs.get(), buffer, 2, Receive::look);
    CHECK(seen.outcome == ReceiveOutcome::received);
    CHECK(std::string_view(buffer.data(), seen.size) == "first");
    REQUIRE(seen.descriptors.size() == 2);
    CHECK(test::same_file(seen.descriptors[1].get(), write_end.get()));
    CHECK(test::closes_on_exec(seen.descriptors[1].get()));
  }
  drop_message(theirs.get());
  CHECK(receive(theirs, 2).text == "second");
  drop_message(theirs.get());  // there is none
  CHECK(receive(theirs, 2).outcome == ReceiveOutcome::would_block);
}

TEST_CASE("a message is dropped also when the reset by its dead sender comes first") {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  send(theirs, "first");
  send(theirs, "second");
  send(ours, "unread");
  theirs.reset();
  drop_message(ours.get());
  CHECK(receive(ours, 1).text == "second");
}

TEST_CASE("want of descriptors is told from too many of them") {
  const test::DescriptorCheck check;
  const auto ends = make_socket_pair(SOCK_SEQPACKET);
  const Fd& ours = ends.first;
  const Fd& theirs = ends.second;
  const auto outcome = [&](std::size_t count, std::size_t spare, Receive how) {
    send(ours, "!", std::vector<int>(count, ours.get()));
    std::array<char, 64> buffer{};
    const test::DescriptorLimit limit(test::next_descriptor() + spare);
    const ReceiveResult result = recv_fds(theirs.get(), buffer, 4, how);
    if (how == Receive::look) { drop_message(theirs.get()); }
    return std::pair(result.outcome, result.lacks_descriptors);
  };
  for (const Receive how : {Receive::take, Receive::look}) {
    CHECK(outcome(4, 400, how) == std::pair(ReceiveOutcome::received, false));
    CHECK(outcome(4, 3, how) == std::pair(ReceiveOutcome::truncated, true));
    CHECK(outcome(4, 0, how) == std::pair(ReceiveOutcome::truncated, true));
    CHECK(outcome(5, 400, how) == std::pair(ReceiveOutcome::truncated, false));
    CHECK(outcome(50, 400, how) == std::pair(ReceiveOutcome::truncated, false));
  }
}

/// What a receiver's socket can have the kernel add to each message; kernels and security modules
/// differ in what of it they know.
struct Addition {
  const char* name;
  int option;
};
constexpr int kPassPidfd = 76;  // since Linux 6.5
constexpr std::array<Addition, 5> kAdditions = {{{"credentials", SO_PASSCRED},
                                                 {"security label", SO_PASSSEC},
                                                 {"pidfd", kPassPidfd},
                                                 {"timestamp", SO_TIMESTAMPNS},
                                                 {"timestamps", SO_TIMESTAMPING}}};

void have_added(const Fd& socket, const Addition& addition) {
  // Software timestamps of what is received, where the option takes flags.
  const int value = addition.option == SO_TIMESTAMPING ? 1 << 3 | 1 << 4 : 1;
  const bool is_set =
      setsockopt(socket.get(), SOL_SOCKET, addition.option, &value, sizeof value) == 0;
  WARN_MESSAGE(is_set, addition.name);
}

void check_unharmed_by_additions(const Fd& ours, const Fd& theirs) {
  for (const std::size_t count : {0U, 1U, 2U, 252U, 253U}) {
    CAPTURE(count);
    const test::DescriptorCheck check;
    send(ours, "!", std::vector<int>(count, ours.get()));
    const Received received = receive(theirs, count);
    CHECK(received.outcome == ReceiveOutcome::received);
    CHECK(received.text == "!");
    CHECK(received.descriptors.size() == count);
  }
  const test::DescriptorCheck check;
  for (const std::size_t too_many : {1U, 2U, 253U}) {
    send(ours, "!", std::vector<int>(too_many, ours.get()));
    CHECK(receive(theirs, too_many - 1).outcome == ReceiveOutcome::truncated);
  }
}

TEST_CASE("what the kernel adds to a message is no error, and takes no descriptor's room") {
  for (const int type : kTypes) {
    for (const Addition& addition : kAdditions) {
      CAPTURE(type);
      CAPTURE(addition.name);
      const auto [ours, theirs] = make_socket_pair(type);
      have_added(theirs, addition);
      check_unharmed_by_additions(ours, theirs);
    }
    const auto [ours, theirs] = make_socket_pair(type);
    for (const Addition& addition : kAdditions) { have_added(theirs, addition); }
    check_unharmed_by_additions(ours, theirs);
  }
}

TEST_CASE("want of descriptors is seen beside what the kernel adds to a message") {
  const test::DescriptorCheck check;
  const auto ends = make_socket_pair(SOCK_SEQPACKET);
  for (const Addition& addition : kAdditions) { have_added(ends.second, addition); }
  send(ends.first, "!", std::vector<int>(4, ends.first.get()));
  std::array<char, 64> buffer{};
  const auto receive_with_room_for = [&](std::size_t descriptors) {
    const test::DescriptorLimit limit(test::next_descriptor() + descriptors);
    return recv_fds(ends.second.get(), buffer, 4, Receive::look);
  };
  const ReceiveResult short_of_one = receive_with_room_for(3);
  CHECK(short_of_one.outcome == ReceiveOutcome::truncated);
  CHECK(short_of_one.lacks_descriptors);
  // The pidfd finds no room then, and that is no loss.
  CHECK(receive_with_room_for(4).outcome == ReceiveOutcome::received);
}

TEST_CASE("descriptors that nobody received are closed with their socket") {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  auto [read_end, write_end] = make_pipe();
  send(ours, "!", {write_end.get()});
  write_end.reset();
  theirs.reset();
  ours.reset();
  CHECK(test::read_until_end(read_end.get()).empty());
}

TEST_CASE("what can't be sent or received is an error") {
  const auto [read_end, write_end] = make_pipe();
  const auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const Fd& pipe = read_end;
  const Fd& socket = ours;
  const auto not_sent = test::thrown_by<SystemError>([&] { send(pipe, "!"); });
  CHECK(not_sent.error_number() == ENOTSOCK);
  CHECK(not_sent.attempt() == "pass descriptors");
  const auto not_received = test::thrown_by<SystemError>([&] { receive(pipe, 1); });
  CHECK(not_received.error_number() == ENOTSOCK);
  CHECK(not_received.attempt() == "receive descriptors");
  CHECK(test::thrown_by<SystemError>([&] { send(socket, "!", {-1}); }).error_number() == EBADF);
  CHECK(test::thrown_by<SystemError>([&] {
          send(socket, std::string(1 << 24, 'x'));
        }).error_number() == EMSGSIZE);
}

}  // namespace
}  // namespace handoff
