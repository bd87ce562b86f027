// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/wire/dialect.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "os/listener.hpp"
#include "ping/pinger.hpp"
#include "unit/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff::test {

/// A server on the reactor of its test, as good or as bad as the test wants it.
class PingServer {
 public:
  /// The connection, the params as JSON, and how many requests came before on all connections.
  /// False closes the connection.
  using Answer = std::function<bool(PingServer&, const std::string& params, int number)>;

  explicit PingServer(Reactor& reactor, Answer answer = pong)
      : reactor_(reactor), answer_(std::move(answer)), listener_(listen_on(Address::parse(":0"))) {}

  const std::string& address() const { return listener_.text(); }
  int connections() const { return connections_; }
  void set_answer(Answer answer) { answer_ = std::move(answer); }

  /// Never ends by itself.
  Task<void> run();

  /// To the connection whose request is being answered.
  void reply(std::string_view name, std::string_view result) {
    std::string frame;
    FrameWriter writer(frame);
    append_reply(frame, Dialect::article, name, result);
    writer.finish();
    send(frame);
  }
  void send(std::string_view bytes) { REQUIRE(current_->try_write(bytes).size == bytes.size()); }

  static bool pong(PingServer& server, const std::string& params, int /*number*/) {
    server.reply(R"("pong")", params);
    return true;
  }

 private:
  static Task<void> serve(PingServer& server, Fd socket);
  bool take_requests(Stream& stream, ReceiveBuffer& input, RequestParser& parser) {
    for (;;) {
      const DecodedFrame frame = decode_frame(input.bytes(), limits::kMaxFrame);
      if (frame.outcome != DecodedFrame::Outcome::complete) { return true; }
      const auto request = std::get<Request>(parser.parse(frame.body).requests.front());
      CHECK(request.method == "ping");
      current_ = &stream;
      if (!answer_(*this, std::string(request.params), requests_++)) { return false; }
      input.consume(frame.size);
    }
  }

  Reactor& reactor_;
  Answer answer_;
  Listener listener_;
  Stream* current_ = nullptr;
  int requests_ = 0;
  int connections_ = 0;
};

/// Writes down what it is told.
class PingRecorder final : public PingObserver {
 public:
  std::vector<std::uint64_t> sent;
  std::vector<std::pair<std::uint64_t, Duration>> pongs;
  std::vector<std::pair<std::uint64_t, std::string>> lost;
  std::vector<std::pair<std::uint64_t, std::string>> errors;
  std::vector<std::uint64_t> late;
  std::vector<std::uint64_t> duplicates;
  std::vector<std::string> waits;
  std::vector<std::string> troubles;
  int starts = 0;
  int status_requests = 0;
  std::function<void()> when_lost;
  std::function<void()> when_pong;

  void on_start(const PingResult&) override { ++starts; }
  void on_sent(const PingResult&, std::uint64_t seq) override { sent.push_back(seq); }
  void on_pong(const PingResult&, std::uint64_t seq, Duration rtt) override {
    pongs.emplace_back(seq, rtt);
    if (when_pong) { when_pong(); }
  }
  void on_lost(const PingResult&, std::uint64_t seq, std::string_view why) override {
    lost.emplace_back(seq, why);
    if (when_lost) { when_lost(); }
  }
  void on_error(const PingResult&, std::uint64_t seq, std::string_view problem) override {
    errors.emplace_back(seq, problem);
  }
  void on_late(const PingResult&, std::uint64_t seq, Duration) override { late.push_back(seq); }
  void on_duplicate(const PingResult&, std::uint64_t seq, Duration) override {
    duplicates.push_back(seq);
  }
  void on_waiting(std::string_view text) override { waits.emplace_back(text); }
  void on_trouble(std::string_view text) override { troubles.emplace_back(text); }
  void on_detail(std::string_view) override {}
  void on_status_request(const std::vector<const PingResult*>&) override { ++status_requests; }
};

/// A pinger, a server and what happened, on one reactor.
struct PingTest {
  DescriptorCheck descriptors;
  Reactor reactor;
  PingServer server{reactor};
  PingRecorder recorder;
  std::unique_ptr<Pinger> pinger;

  static PingOptions options(std::uint64_t count,
                             PingOptions::Pace pace = PingOptions::Pace::adaptive) {
    PingOptions options;
    options.pace = pace;
    options.count = count;
    options.interval = std::chrono::milliseconds(5);
    return options;
  }

  /// Valid until the next run.
  const PingResult& run(const PingOptions& options, std::vector<std::string> addresses) {
    std::vector<Address> parsed;
    for (const std::string& text : addresses) { parsed.push_back(Address::parse(text)); }
    options.check(parsed);
    pinger = std::make_unique<Pinger>(reactor, options, std::move(parsed), recorder);
    reactor.spawn(server.run());
    reactor.run(pinger->run());
    return *pinger->results().front();
  }
  const PingResult& run(const PingOptions& options) { return run(options, {server.address()}); }
};

/// An address where nobody listens.
inline std::string closed_address() {
  return listen_on(Address::parse(":0")).text();
}

}  // namespace handoff::test
