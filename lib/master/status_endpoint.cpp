// SPDX-License-Identifier: MIT
#include "master/status_endpoint.hpp"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <exception>
#include <string>
#include <utility>

#include <handoff/async/fd_watcher.hpp>

#include "master/metrics.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

HttpReply problem(int status, std::string_view why) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::string(why) + "\n";
  return reply;
}

/// Returns the reply to what is no request, or the beginning of one.
HttpReply refusal(DecodedHttpRequest::Outcome outcome) {
  switch (outcome) {
    case DecodedHttpRequest::Outcome::too_long: return problem(431, "the request is too long");
    case DecodedHttpRequest::Outcome::version: return problem(505, "use HTTP/1.1");
    case DecodedHttpRequest::Outcome::partial: return problem(408, "the request took too long");
    default: return problem(400, "this is no request without a body of HTTP/1.1");
  }
}

}  // namespace

/// A connection, and what was read of its request.
struct StatusEndpoint::Client {
  Client(StatusEndpoint& of, Fd socket)
      : endpoint(of), stream(of.reactor_, std::move(socket), Stream::Kind::socket) {
    ++endpoint.clients_;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    --endpoint.clients_;
    endpoint.changed_.notify_all();
  }

  StatusEndpoint& endpoint;
  Stream stream;
  std::string bytes{};
};

StatusEndpoint::StatusEndpoint(Reactor& reactor, Listener listener, StatusSource source,
                               const Report& report, PeerJudge judge, Duration timeout)
    : reactor_(reactor),
      source_(std::move(source)),
      timeout_(timeout),
      changed_(reactor),
      place_(place_of(listener)),
      report_failed_(reactor, saying(report, Severity::error)),
      acceptor_(reactor, std::move(listener),
                {.accepted = [this](Connection connection) { accept(std::move(connection)); }},
                report, std::move(judge),
                place_ == Place::unix_socket ? Judged::everybody : Judged::abstract_names) {}

StatusEndpoint::Place StatusEndpoint::place_of(const Listener& listener) {
  const SocketAddress address = local_address(listener.fd());
  if (address.family() == AF_UNIX) { return Place::unix_socket; }
  return address.is_loopback() ? Place::loopback : Place::network;
}

void StatusEndpoint::open() {
  if (acceptor_.is_idle()) { reactor_.spawn(acceptor_.run()); }
}

Task<void> StatusEndpoint::finish(Duration patience) {
  acceptor_.close();
  const TimePoint limit = Clock::now() + patience;
  co_await changed_.wait_until([this] { return clients_ == 0; }, limit);
}

void StatusEndpoint::accept(Connection connection) {
  if (clients_ >= limits::kMaxStatusConnections) { return; }
  reactor_.spawn(serve(std::make_unique<Client>(*this, std::move(connection.socket))));
}

/// Reads a request, answers it, and lingers: what else the client sends is discarded until it has
/// closed, because closing with unread bytes would reset the connection and lose the reply.
Task<void> StatusEndpoint::serve(std::unique_ptr<Client> client) {
  Stream& stream = client->stream;
  try {
    co_await answer(*client);
    stream.end_writing();
    const WaitTimeout timeout(stream.watcher(), reactor_.now() + limits::kLingerTimeout);
    std::array<char, 1024> discarded;
    while (!timeout.passed()) {
      const IoResult result = co_await stream.read_some(discarded);
      if (!result.done()) { break; }
    }
  } catch (const std::exception& error) {
    report_failed_(fmt::format("cannot answer a request for the status: {}", error.what()));
  }
}

// The client outlives the task, which serve() awaits.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> StatusEndpoint::answer(Client& client) {
  DecodedHttpRequest decoded;
  {
    const WaitTimeout timeout(client.stream.watcher(), reactor_.now() + timeout_);
    std::array<char, 1024> buffer;
    while (decoded.outcome == DecodedHttpRequest::Outcome::partial && !timeout.passed()) {
      const IoResult result = co_await client.stream.read_some(buffer);
      if (result.outcome == IoResult::Outcome::would_block) { break; }
      if (!result.done()) { co_return; }
      client.bytes.append(buffer.data(), result.size);
      decoded = decode_http_request(client.bytes, limits::kMaxStatusRequest);
    }
  }
  HttpReply reply = refusal(decoded.outcome);
  HttpBody body = HttpBody::sent;
  if (decoded.outcome == DecodedHttpRequest::Outcome::complete) {
    const bool is_head = decoded.request.method == "HEAD";
    if (is_head) { body = HttpBody::left_out; }
    if (!is_head && decoded.request.method != "GET") {
      reply = problem(405, "use GET");
      reply.allow = "GET, HEAD";
    } else if (!admits(decoded.request)) {
      reply = problem(421, "use an address or localhost as the name of the host");
    } else {
      reply = co_await page(decoded.request.path);
    }
  }
  const std::string text = to_text(reply, body, std::time(nullptr));
  const WaitTimeout timeout(client.stream.watcher(), reactor_.now() + timeout_);
  co_await client.stream.write_all(text);
}

/// A browser that was led to this address by another name must not show it to the page of that
/// name.
bool StatusEndpoint::admits(const HttpRequest& request) const {
  return place_ != Place::loopback || !request.host || names_no_other_host(*request.host);
}

// The path is a part of the client's bytes, which outlive the task.
Task<HttpReply> StatusEndpoint::page(std::string_view path) {
  HttpReply reply;
  if (path == "/live") {
    reply.body = "live\n";
  } else if (path == "/ready") {
    const bool is_ready = source_.is_ready();
    reply.status = is_ready ? 200 : 503;
    reply.body = is_ready ? "ready\n" : "not ready\n";
  } else if (path == "/metrics" || path == "/status") {
    const MasterStatus status = co_await source_.snapshot();
    const bool is_metrics = path == "/metrics";
    reply.content_type = is_metrics ? kMetricsType : "application/json";
    reply.body = is_metrics ? to_metrics(status) : to_json_text(status) + "\n";
  } else {
    reply = problem(404, "there are /live, /ready, /metrics and /status");
  }
  co_return reply;
}

}  // namespace handoff
