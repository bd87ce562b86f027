// SPDX-License-Identifier: MIT
#include "rpc/proxy_stage.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <exception>
#include <optional>
#include <utility>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/os/error.hpp>

#include "async/time_limit.hpp"
#include "os/socket.hpp"
#include "rpc/proxied_peer.hpp"
#include "wire/proxy_header.hpp"

namespace handoff {

/// A connection whose header is not complete.
struct ProxyStage::Waiting {
  /// What has become of it while its task slept.
  enum class End { none, displaced, closed };

  explicit Waiting(Connection accepted) : connection(std::move(accepted)) {}

  Connection connection;
  std::string bytes{};           ///< those of the header that were read
  std::string why{};             ///< why the header is malformed
  FdWatcher* watcher = nullptr;  ///< while its task runs
  End end = End::none;
  std::list<std::shared_ptr<Waiting>>::iterator place{};  ///< in the list, while `end` is none

  void end_wait(End how) {
    end = how;
    if (watcher != nullptr) { watcher->interrupt(); }
  }

  /// Lends it a watcher until the task goes on, or is destroyed with its reactor.
  class Watched {
   public:
    Watched(std::shared_ptr<Waiting> one, FdWatcher& watcher) : one_(std::move(one)) {
      one_->watcher = &watcher;
    }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    ~Watched() { one_->watcher = nullptr; }

   private:
    std::shared_ptr<Waiting> one_;
  };
};

ProxyStage::ProxyStage(Reactor& reactor, std::vector<AddressRange> proxies, Owner owner,
                       Report report)
    : ProxyStage(reactor, std::move(proxies), std::move(owner), std::move(report), Limits()) {}

ProxyStage::ProxyStage(Reactor& reactor, std::vector<AddressRange> proxies, Owner owner,
                       Report report, Limits limits)
    : reactor_(reactor),
      proxies_(std::move(proxies)),
      owner_(std::move(owner)),
      report_refused_(reactor, saying(std::move(report), Severity::error)),
      limits_(limits) {}

ProxyStage::~ProxyStage() = default;

void ProxyStage::take(Connection connection) {
  if (!any_contains(proxies_, connection.peer)) { return owner_.accepted(std::move(connection)); }
  keep_urgent_data(connection.socket.get());
  const auto one = std::make_shared<Waiting>(std::move(connection));
  switch (read(*one)) {
    case Reading::complete: return owner_.accepted(std::move(one->connection));
    case Reading::malformed: return refuse(*one, one->why);
    case Reading::ended: return;
    case Reading::partial: break;
  }
  if (waiting_.size() >= limits_.most && !waiting_.empty()) {
    const std::shared_ptr<Waiting> oldest = waiting_.front();
    waiting_.pop_front();
    oldest->end_wait(Waiting::End::displaced);
  }
  one->place = waiting_.insert(waiting_.end(), one);
  reactor_.spawn(wait_for_header(one));
}

void ProxyStage::close() {
  for (const auto& one : std::exchange(waiting_, {})) { one->end_wait(Waiting::End::closed); }
}

Task<void> ProxyStage::wait_for_header(std::shared_ptr<Waiting> one) {
  Reading reading = Reading::partial;
  bool in_time = true;
  {
    FdWatcher watcher(reactor_, one->connection.socket.get());
    const WaitTimeout timeout(watcher, reactor_.now() + limits_.time);
    const Waiting::Watched watched(one, watcher);
    while (reading == Reading::partial && one->end == Waiting::End::none && in_time) {
      try {
        co_await watcher.readable();
        if (one->end == Waiting::End::none) { reading = read(*one); }
      } catch (const std::exception& error) {
        one->why = error.what();
        reading = Reading::malformed;
      }
      in_time = !timeout.passed();
    }
  }
  if (one->end == Waiting::End::closed) { co_return; }
  if (one->end == Waiting::End::displaced) {
    refuse(*one, fmt::format("{} others are awaited, which came later", limits_.most));
    co_return;
  }
  waiting_.erase(one->place);
  switch (reading) {
    case Reading::complete: go_on(std::move(one->connection)); break;
    case Reading::malformed: refuse(*one, one->why); break;
    case Reading::partial:
      refuse(*one, fmt::format("it did not arrive within {}", duration_text(limits_.time)));
      break;
    case Reading::ended: break;
  }
  one->connection.socket.reset();
  if (owner_.left) { owner_.left(); }
}

/// Reads what has arrived of the header, and not a byte that follows it: it looks at the bytes
/// first, and then reads those that belong to the header.
ProxyStage::Reading ProxyStage::read(Waiting& one) {
  static thread_local std::array<char, 16 + limits::kMaxProxyBlock> buffer;
  const int socket = one.connection.socket.get();
  for (;;) {
    const ssize_t seen =
        retry([&] { return recv(socket, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT); });
    if (seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) { return Reading::partial; }
    if (seen < 0 || (seen == 0 && one.bytes.empty())) { return Reading::ended; }
    if (seen == 0) {
      one.why = "the connection ended within it";
      return Reading::malformed;
    }
    const std::size_t before = one.bytes.size();
    one.bytes.append(buffer.data(), static_cast<std::size_t>(seen));
    const DecodedProxyHeader decoded = decode_proxy_header(one.bytes);
    if (decoded.outcome == DecodedProxyHeader::Outcome::malformed) {
      one.why = decoded.why;
      return Reading::malformed;
    }
    const ssize_t taken =
        retry([&] { return recv(socket, buffer.data(), decoded.size - before, MSG_DONTWAIT); });
    if (taken <= 0) { return Reading::ended; }
    one.bytes.resize(before + static_cast<std::size_t>(taken));
    const bool is_complete = decoded.outcome == DecodedProxyHeader::Outcome::complete &&
                             one.bytes.size() == decoded.size;
    if (!is_complete) { continue; }
    const auto peer = peer_of(decoded.source, one.connection.peer);
    if (!peer) {
      one.why = "its path is not text";
      return Reading::malformed;
    }
    one.connection.peer = *peer;
    return Reading::complete;
  }
}

void ProxyStage::go_on(Connection connection) {
  const std::string peer = connection.peer.text();
  try {
    owner_.accepted(std::move(connection));
    if (owner_.burst_ended) { owner_.burst_ended(); }
  } catch (const std::exception& error) {
    report_refused_(
        fmt::format("cannot take a connection from {}: {}; it is closed", peer, error.what()));
  }
}

void ProxyStage::refuse(const Waiting& one, std::string_view why) {
  ++refused_;
  report_refused_(fmt::format("cannot read the PROXY header of {}: {}; the connection is closed",
                              one.connection.peer.text(), why));
}

}  // namespace handoff
