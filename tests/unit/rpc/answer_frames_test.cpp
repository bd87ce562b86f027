// SPDX-License-Identifier: MIT
#include "rpc/answer_frames.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>

#include <handoff/async/condition.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

/// The input and the calls of a connection, without a socket. The methods are "echo", which is
/// instant, and "slow", which waits for ever.
struct Frames final : SessionCalls::Owner {
  explicit Frames(const SessionLimits& limits = {}, Framing framing = Framing::lines)
      : never(reactor),
        context(reactor, methods(), limits),
        surroundings_now{framing, SessionPhase::open, 0, false, false},
        input(framing, nullptr),
        calls(context, *this, Dialect::article) {}

  std::shared_ptr<const MethodTable> methods() {
    auto table = std::make_shared<MethodTable>();
    table->add_instant("echo", [](const Request& request) { return request.params; });
    table->add("slow", [this](const Call&) -> Task<Result> {
      co_await never.wait();
      co_return Result::success("1");
    });
    return table;
  }

  SessionCalls::Surroundings surroundings() const override { return surroundings_now; }
  std::string_view peer() override { return "client"; }
  void replies_ready(std::string&) override {}
  void call_ended() override {}
  void call_has_place() override {}
  bool has_turn() const override { return turns > 0; }
  void turn_is_over() override { --turns; }
  void call_failed(std::string_view) override {}

  /// One turn, in which these bytes have arrived.
  Taken turn(std::string_view arrives, MoreBytes more = MoreBytes::may_follow) {
    ReceiveBuffer& bytes = input.begin_turn(context.input());
    bytes.append(arrives);
    out.clear();
    const Taken taken = answer_frames(input, calls, bytes, {more}, out);
    left = input.unused();
    return taken;
  }

  Reactor reactor;
  Condition never;
  ServerContext context;
  SessionCalls::Surroundings surroundings_now;
  SessionInput input;
  int turns = 0;     ///< with SessionLimits::synchronous
  std::string out;   ///< what can be sent after the last turn
  std::string left;  ///< what it has left
  SessionCalls calls;
};

std::string echo(int number) {
  return "{\"in\":\"echo\",\"params\":" + std::to_string(number) + "}\n";
}
std::string echoed(int number) {
  return "{\"out\":\"echo\",\"result\":" + std::to_string(number) + "}\n";
}
constexpr std::string_view kSlow = "{\"in\":\"slow\"}\n";

TEST_CASE("all frames of a turn are answered together, and the start of another is left") {
  Frames frames;
  CHECK(frames.turn(echo(1) + echo(2) + "{\"in\"") == Taken::all_frames);
  CHECK(frames.out == echoed(1) + echoed(2));
  CHECK(frames.left == "{\"in\"");
  CHECK(frames.input.awaits_rest());
  CHECK(frames.turn(":\"echo\",\"params\":3}\n") == Taken::all_frames);
  CHECK(frames.out == echoed(3));
  CHECK(frames.left.empty());
}

TEST_CASE("blank lines are no requests") {
  Frames frames;
  CHECK(frames.turn("\n\r\n" + echo(1) + "\n") == Taken::all_frames);
  CHECK(frames.out == echoed(1));
  CHECK(frames.left.empty());
}

TEST_CASE("a turn ends after many frames, and the next one goes on with the rest") {
  Frames frames;
  std::string many;
  std::string answers;
  for (int i = 0; i < 100; ++i) {
    many += echo(i);
    answers += echoed(i);
  }
  CHECK(frames.turn(many) == Taken::some_frames);
  const std::string first = frames.out;
  CHECK(frames.input.has_frames());
  CHECK(frames.turn("") == Taken::all_frames);
  CHECK(first + frames.out == answers);
  CHECK(!first.empty());
  CHECK(!frames.out.empty());
}

TEST_CASE("a turn ends when more waits to be sent than may") {
  SessionLimits limits;
  limits.max_unsent = 1;
  Frames frames(limits);
  CHECK(frames.turn(echo(1) + echo(2)) == Taken::some_frames);
  CHECK(frames.out == echoed(1));
  CHECK(frames.left == echo(2));
}

TEST_CASE("a turn ends at a request for which the connection has no room, which stays unread") {
  SessionLimits limits;
  limits.max_calls = 1;
  Frames frames(limits);
  frames.reactor.run([](Frames& its) -> Task<void> {
    CHECK(its.turn(std::string(kSlow) + echo(1)) == Taken::some_frames);
    CHECK(its.out.empty());
    CHECK(its.left == echo(1));
    its.calls.end_for_no_client();
    co_return;
  }(frames));
}

TEST_CASE("the first frame that is too long is answered once, and all after it is dropped") {
  SessionLimits limits;
  limits.max_frame = 30;
  Frames frames(limits);
  CHECK(frames.turn(echo(1) + std::string(31, 'x') + "\n" + echo(2)) == Taken::refused);
  CHECK(frames.out == echoed(1) +
                          "{\"out\":\"error\",\"result\":{\"code\":-32600,\"message\":"
                          "\"a frame of 31 bytes exceeds the limit of 30\"}}\n");
  CHECK(frames.left.empty());
}

TEST_CASE("the first bytes tell the framing, and frames after them are answered in it") {
  Frames frames({}, Framing::unknown);
  CHECK(frames.turn("") == Taken::all_frames);
  CHECK(frames.input.framing() == Framing::unknown);
  CHECK(frames.turn(echo(1)) == Taken::all_frames);
  CHECK(frames.input.framing() == Framing::lines);
  CHECK(frames.out == echoed(1));
}

TEST_CASE("a stranger gets an answer, and nothing that it has sent is run") {
  Frames frames({}, Framing::unknown);
  const std::string hidden = "GET / HTTP/1.1\r\n\r\n" + echo(1);
  CHECK(frames.turn(hidden) == Taken::refused);
  CHECK(frames.out.starts_with("HTTP/1.1 "));
  CHECK(frames.out.find("echo") == std::string::npos);
  CHECK(frames.left.empty());
  CHECK(frames.context.requests() == 0);
}

TEST_CASE("where one request is executed at a time, frames are left when the turn is over") {
  SessionLimits limits;
  limits.synchronous = true;
  Frames frames(limits);
  frames.turns = 2;
  CHECK(frames.turn(echo(1) + echo(2) + echo(3)) == Taken::some_frames);
  CHECK(frames.out == echoed(1) + echoed(2));
  CHECK(frames.left == echo(3));
  frames.turns = 1;
  CHECK(frames.turn("") == Taken::some_frames);
  CHECK(frames.out == echoed(3));
}

TEST_CASE("the last line of a client that sends no more needs no newline") {
  Frames frames;
  const std::string request = echo(1);
  CHECK(frames.turn(request.substr(0, request.size() - 1)) == Taken::all_frames);
  CHECK(frames.out.empty());
  CHECK(frames.turn("", MoreBytes::none_follow) == Taken::all_frames);
  CHECK(frames.out == echoed(1));
}

}  // namespace
}  // namespace handoff
