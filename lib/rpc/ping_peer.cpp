// SPDX-License-Identifier: MIT
#include "rpc/ping_peer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"
#include "wire/frame.hpp"

namespace handoff {
namespace {

constexpr Duration kShortestWait = std::chrono::milliseconds(10);
constexpr Duration kLongestWait = std::chrono::milliseconds(200);

}  // namespace

PingPeer::PingPeer(PingRun& run, Address address, PingResult& result)
    : run_(run),
      address_(std::move(address)),
      result_(result),
      why_not_(fmt::format("connect, on {}: no answer", address_.text)) {}

Task<std::unique_ptr<Client>> PingPeer::connect(TimePoint deadline) {
  if (used_up_) {
    throw Unreachable(
        fmt::format("connect, on {}: a descriptor can't be connected again", address_.text));
  }
  used_up_ = address_.kind == Address::Kind::inherited;
  const TimePoint start = Clock::now();
  const TimePoint limit = deadline_after(start, run_.options.connect_timeout);
  Connection connection = co_await connect_to(run_.reactor, address_, std::min(deadline, limit));
  if (!reached_) note_first(connection.socket.get(), Clock::now() - start);
  co_return std::make_unique<Client>(run_.reactor, std::move(connection), address_.text,
                                     frame::kDefaultMaxBody);
}

void PingPeer::note_first(int socket, Duration time) {
  reached_ = true;
  result_.connect_time = time;
  const SocketAddress peer = peer_address(socket);
  result_.over_tcp = peer.family() == AF_INET || peer.family() == AF_INET6;
  if (address_.kind != Address::Kind::tcp) return;
  result_.peer = peer.text();
  // A name is looked up once: looking it up again would block, and count as latency.
  Address numeric = Address::parse(result_.peer);
  numeric.text = address_.text;
  address_ = std::move(numeric);
}

Task<std::unique_ptr<Client>> PingPeer::try_first_connection(std::string_view ping_params) {
  std::unique_ptr<Client> client = co_await connect(kNever);
  if (run_.options.wait_until_up) {
    // The kernel takes connections before the server does. Any reply will do.
    client->queue("ping", ping_params);
    co_await client->flush(kNever);
    [[maybe_unused]] const Reply reply = co_await client->receive(kNever);
  }
  co_return client;
}

Task<std::unique_ptr<Client>> PingPeer::reach(std::string_view ping_params) {
  bool waiting = false;
  for (Duration wait = kShortestWait;; wait = std::min(2 * wait, kLongestWait)) {
    try {
      std::unique_ptr<Client> client = co_await try_first_connection(ping_params);
      co_return client;
    } catch (const NoLocalPort& error) {
      if (!run_.options.wait_until_up) throw;
      why_not_ = error.what();
    } catch (const Unreachable& error) {
      why_not_ = error.what();
    } catch (const TimedOut& error) {
      why_not_ = error.what();
    } catch (const ConnectionLost& error) {
      why_not_ = error.what();
    } catch (const SystemError& error) {
      if (run_.alone && !run_.options.wait_until_up) throw;  // nothing else can be done
      why_not_ = error.what();
    }
    if (!run_.options.wait_until_up) {
      if (run_.alone) throw Unreachable(why_not_);
      co_return nullptr;  // its probes will say why
    }
    if (std::exchange(waiting, true)) {
      run_.observer.on_detail(why_not_);
    } else {
      run_.observer.on_waiting(why_not_ + " (waiting)");
    }
    co_await run_.reactor.sleep_until(Clock::now() + wait);
  }
}

}  // namespace handoff
