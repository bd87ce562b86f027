// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/wire/limits.hpp>

#include "os/listener.hpp"
#include "unit/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff::test {

/// A server of calls on the reactor of its test, which gives the answers that the test wants.
class PlayedServer {
 public:
  /// What is sent after a request: any number of bodies. Nothing closes the connection.
  using Bodies = std::optional<std::vector<std::string>>;
  using Answer = std::function<Bodies(const std::string& request)>;

  PlayedServer(Reactor& reactor, Answer answer)
      : reactor_(reactor), answer_(std::move(answer)), listener_(listen_on(Address::parse(":0"))) {}

  const std::string& address() const { return listener_.text(); }
  int connections() const { return connections_; }
  /// The bodies of all requests.
  const std::vector<std::string>& requests() const { return requests_; }
  /// How many requests have arrived with one read, at most.
  std::size_t most_together() const { return most_together_; }

  /// Never ends by itself.
  Task<void> run();

 private:
  static Task<void> serve(PlayedServer& server, Fd socket);

  /// False when the connection is to be closed.
  bool answer_all(Stream& stream, ReceiveBuffer& input) {
    std::string frames;
    std::size_t together = 0;
    bool goes_on = true;
    while (goes_on) {
      const DecodedFrame frame = decode_frame(input.bytes(), limits::kMaxFrame);
      if (frame.outcome != DecodedFrame::Outcome::complete) { break; }
      requests_.emplace_back(frame.body);
      most_together_ = std::max(most_together_, ++together);
      const Bodies bodies = answer_(requests_.back());
      goes_on = bodies.has_value();
      for (const std::string& body : bodies.value_or(std::vector<std::string>())) {
        append_frame(frames, body);
      }
      input.consume(frame.size);
    }
    REQUIRE(stream.try_write(frames).size == frames.size());
    return goes_on;
  }

  Reactor& reactor_;
  Answer answer_;
  Listener listener_;
  int connections_ = 0;
  std::vector<std::string> requests_;
  std::size_t most_together_ = 0;
};

}  // namespace handoff::test
