// SPDX-License-Identifier: MIT
#include "rpc/session_input.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/socket.hpp"
#include "unit/rpc/session_fixture.hpp"

namespace handoff {
namespace {

using Left = SessionInput::Left;
using Received = SessionInput::Received;

constexpr std::uint32_t kMaxFrame = 1000;

/// The server's end of a connection, and its input.
struct Input {
  explicit Input(Framing framing = Framing::lines, std::string_view unread = {})
      : input(framing, buffer_of(unread)) {
    auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
    stream.emplace(reactor, std::move(ours), Stream::Kind::socket);
    client = std::move(theirs);
  }
  static std::unique_ptr<UnusedBytes> buffer_of(std::string_view unread) {
    if (unread.empty()) { return nullptr; }
    auto bytes = std::make_unique<UnusedBytes>(unread.size());
    bytes->buffer.append(unread);
    return bytes;
  }

  /// One turn: what was received, and the frames that were taken.
  Received turn(std::string_view arrives, std::size_t most = 100) {
    if (!arrives.empty()) { test::write_text(client.get(), arrives); }
    ReceiveBuffer& bytes = input.begin_turn(shared);
    const Received received = input.receive(bytes, *stream, kMaxFrame);
    looked = input.has_frames();
    if (looked) { take(bytes, most); }
    return received;
  }
  void take(ReceiveBuffer& bytes, std::size_t most) {
    Left left = Left::frames;
    int count = 0;
    while (left == Left::frames && frames.size() < most) {
      const DecodedFrame frame = input.next_frame(bytes, kMaxFrame);
      if (frame.outcome != DecodedFrame::Outcome::complete) {
        left = Left::start_of_frame;
        break;
      }
      frames.emplace_back(frame.body);
      bytes.consume(frame.size);
      ++count;
    }
    input.end_turn(bytes, left, count);
  }

  Reactor reactor;
  SessionInput input;
  std::optional<Stream> stream;
  Fd client;
  ReceiveBuffer shared{4096};
  std::vector<std::string> frames;
  bool looked = false;  ///< for whole frames, in the last turn
};

const TimePoint kDue{std::chrono::seconds(10)};
const TimePoint kLater{std::chrono::seconds(20)};

TEST_CASE("frames that are whole leave nothing behind") {
  Input input;
  CHECK(input.turn("1\n2\r\n") == Received::all);
  CHECK(input.frames == std::vector<std::string>{"1", "2"});
  CHECK(!input.input.holds_bytes());
  CHECK(input.input.held() == 0);
  CHECK(input.turn("") == Received::nothing);
}

TEST_CASE("the start of a frame is kept until its rest is there") {
  Input input;
  input.turn("1\n2");
  CHECK(input.frames == std::vector<std::string>{"1"});
  CHECK(input.input.held() == 1);
  CHECK(input.input.unused() == "2");
  CHECK(input.input.awaits_rest());
  input.turn("3\n");
  CHECK(input.frames == std::vector<std::string>{"1", "23"});
  CHECK(!input.input.holds_bytes());
}

TEST_CASE("frames that are left when a turn ends are the first of the next") {
  Input input;
  input.turn("1\n2\n3", 1);
  CHECK(input.frames == std::vector<std::string>{"1"});
  CHECK(input.input.has_frames());
  CHECK(!input.input.awaits_rest());
  input.take(input.input.begin_turn(input.shared), 100);
  CHECK(input.frames == std::vector<std::string>{"1", "2"});
  CHECK(input.input.awaits_rest());
}

TEST_CASE("bytes that were read elsewhere may hold whole frames") {
  Input input(Framing::lines, "1\n2");
  CHECK(input.input.has_frames());
  input.take(input.input.begin_turn(input.shared), 100);
  CHECK(input.frames == std::vector<std::string>{"1"});
  CHECK(input.input.unused() == "2");
}

TEST_CASE("a part of a line without a newline is not searched for frames") {
  Input input;
  input.turn("1");
  CHECK(input.looked);
  CHECK(input.turn("2") == Received::all);
  CHECK(!input.looked);
  CHECK(input.input.awaits_rest());
  input.turn("3\n");
  CHECK(input.looked);
  CHECK(input.frames == std::vector<std::string>{"123"});
}

TEST_CASE("a line that grows beyond the limit is looked at, to be refused") {
  Input input;
  input.turn("1");
  input.turn(std::string(kMaxFrame + 1, ' '));
  CHECK(input.looked);
  const DecodedFrame frame =
      input.input.next_frame(input.input.begin_turn(input.shared), kMaxFrame);
  CHECK(frame.outcome == DecodedFrame::Outcome::oversized);
}

TEST_CASE("a frame's deadline counts from its first byte") {
  Input input;
  CHECK(input.input.due() == kNever);
  input.turn("1");
  input.input.start_deadline(kDue);
  input.turn("2");
  input.input.start_deadline(kLater);
  CHECK(input.input.due() == kDue);
}

TEST_CASE("a frame's deadline ends with the frame") {
  Input input;
  input.turn("1");
  input.input.start_deadline(kDue);
  SUBCASE("which leaves nothing") {
    input.turn("\n");
    CHECK(input.input.due() == kNever);
  }
  SUBCASE("and the next has its own") {
    input.turn("\n2");
    input.input.start_deadline(kLater);
    CHECK(input.input.due() == kLater);
  }
  SUBCASE("which is not read for a while") {
    input.input.stop_deadline();
    CHECK(input.input.due() == kNever);
  }
  SUBCASE("which is dropped") {
    input.input.drop();
    CHECK(input.input.due() == kNever);
    CHECK(!input.input.holds_bytes());
  }
}

TEST_CASE("the first bytes tell the framing") {
  const auto judged = [](std::string_view bytes, MoreBytes more) {
    Input input(Framing::unknown);
    ReceiveBuffer& buffer = input.input.begin_turn(input.shared);
    buffer.append(bytes);
    const Start start = input.input.judge(buffer, Framing::unknown, more);
    return std::pair(start, input.input.framing());
  };
  constexpr auto kMore = MoreBytes::may_follow;
  CHECK(judged("\n {\"in\":\"echo\"}", kMore) == std::pair(Start::lines, Framing::lines));
  CHECK(judged(std::string_view("\2\0\0\0{}", 6), kMore) ==
        std::pair(Start::length, Framing::length));
  CHECK(judged("GET / HTTP/1.1\r\n\r\n", kMore) == std::pair(Start::stranger, Framing::unknown));
  CHECK(judged("\n", kMore) == std::pair(Start::undecided, Framing::unknown));
  CHECK(judged("G", MoreBytes::none_follow).first != Start::undecided);
}

TEST_CASE("the last line needs no newline, and a frame that was cut off can't be answered") {
  for (const Framing framing : {Framing::lines, Framing::length}) {
    Input input(framing);
    ReceiveBuffer& bytes = input.input.begin_turn(input.shared);
    bytes.append(std::string_view("{}"));
    input.input.end_last_line(bytes);
    input.take(bytes, 100);
    CHECK(input.frames.size() == (framing == Framing::lines ? 1 : 0));
  }
}

TEST_CASE("the end of a connection is told from its failure") {
  Input input;
  SUBCASE("the client has ended its side") {
    shutdown(input.client.get(), SHUT_WR);
    CHECK(input.turn("") == Received::end);
  }
  SUBCASE("the connection was reset") {
    test::write_text(input.stream->fd(), "unread");
    input.client.reset();
    CHECK(input.turn("") == Received::broken);
  }
}

SessionLimits with_frame_timeout(Duration timeout = std::chrono::milliseconds(1)) {
  SessionLimits limits;
  limits.frame_timeout = timeout;
  return limits;
}

TEST_CASE("the rest of a frame that has arrived by its deadline is answered") {
  // So long that the start of the frame is read before, whatever else the machine does.
  static constexpr auto kTimeout = std::chrono::milliseconds(100);
  test::Sessions sessions(with_frame_timeout(kTimeout));
  const Fd client = sessions.open();
  sessions.reactor.run([](test::Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), test::kEcho.substr(0, 5));
    co_await self.settle();
    test::write_text(end.get(), test::kEcho.substr(5));
    // As a process that was stopped: the deadline has passed when it looks again.
    const TimePoint later = Clock::now() + kTimeout + std::chrono::milliseconds(1);
    while (Clock::now() < later) {}
    CHECK(co_await self.line(end) == test::kEchoed);
  }(sessions, client));
}

TEST_CASE("a client whose frame is late is told so, and refused") {
  test::Sessions sessions(with_frame_timeout());
  const Fd client = sessions.open();
  sessions.reactor.run([](test::Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), test::kEcho.substr(0, 5));
    CHECK((co_await self.line(end)).find("did not arrive in time") != std::string::npos);
    shutdown(end.get(), SHUT_WR);
    co_await self.until_ended();
  }(sessions, client));
  CHECK(sessions.reasons.front() == CloseReason::protocol);
}

TEST_CASE("a frame is not late while it is the server that does not read") {
  SessionLimits limits = with_frame_timeout();
  limits.max_calls = 1;
  test::Sessions sessions(limits);
  const Fd client = sessions.open();
  sessions.reactor.run([](test::Sessions& self, const Fd& end) -> Task<void> {
    test::write_text(end.get(), std::string(test::kSlow) + std::string(test::kEcho.substr(0, 5)));
    co_await self.until_begun(1);
    const TimePoint later = Clock::now() + std::chrono::milliseconds(3);
    while (Clock::now() < later) { co_await self.reactor.yield(); }
    self.set_go();
    test::write_text(end.get(), test::kEcho.substr(5));
    CHECK(co_await self.line(end) == "{\"out\":\"slow\",\"result\":7}\n");
    CHECK(co_await self.line(end) == test::kEchoed);
  }(sessions, client));
}

}  // namespace
}  // namespace handoff
