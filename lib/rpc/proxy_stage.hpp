// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/wire/limits.hpp>

#include "async/limited_line.hpp"
#include "os/address_range.hpp"
#include "os/log.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// Stands between an acceptor and its owner. A connection from a known proxy waits here for the
/// header that tells its client, and then has the client as its peer; any other goes on at once. Of
/// a connection nothing but the header is read.
///
/// A connection whose header is malformed, or does not arrive in time, is closed, counted and
/// reported. So is the one that has waited longest when more wait than may. One that ends before
/// its first byte is no more than a check whether the port is open.
class ProxyStage {
 public:
  /// The functions to which it reports.
  struct Owner {
    /// Called with each connection that goes on. An exception costs that connection.
    std::function<void(Connection)> accepted;
    /// Called after connections have gone on that had waited.
    std::function<void()> burst_ended{};
    /// Called when a connection that had waited has gone on or was closed.
    std::function<void()> left{};
  };
  /// What a proxy can make a process hold or wait for.
  struct Limits {
    Duration time = limits::kProxyHeaderTimeout;         ///< for the whole header
    std::size_t most = limits::kMaxAwaitedProxyHeaders;  ///< connections that wait at a time
  };

  /// `proxies` are the addresses of those that begin with a header; without any, each connection
  /// goes on at once. The reactor must outlive this object, which must outlive the reactor's run.
  ProxyStage(Reactor& reactor, std::vector<AddressRange> proxies, Owner owner, Report report);
  ProxyStage(Reactor& reactor, std::vector<AddressRange> proxies, Owner owner, Report report,
             Limits limits);
  ProxyStage(const ProxyStage&) = delete;
  ProxyStage& operator=(const ProxyStage&) = delete;
  ~ProxyStage();

  /// Knows these proxies from now on, instead of those before.
  void use(std::vector<AddressRange> proxies) { proxies_ = std::move(proxies); }
  /// Takes over a connection that was accepted. Does not block. Throws what Owner::accepted throws
  /// if the connection goes on at once.
  void take(Connection connection);
  /// Closes the connections that wait.
  void close();

  /// Returns the number of connections that wait for their header.
  std::size_t waiting() const { return waiting_.size(); }
  /// Returns how many connections were closed for their header since the start.
  std::uint64_t refused() const { return refused_; }

 private:
  struct Waiting;
  enum class Reading { complete, partial, malformed, ended };

  Task<void> wait_for_header(std::shared_ptr<Waiting> one);
  Reading read(Waiting& one);
  void go_on(Connection connection);
  void refuse(const Waiting& one, std::string_view why);

  Reactor& reactor_;
  std::vector<AddressRange> proxies_;
  Owner owner_;
  LimitedLine report_refused_;
  Limits limits_;
  std::list<std::shared_ptr<Waiting>> waiting_;  ///< the one that has waited longest comes first
  std::uint64_t refused_ = 0;
};

}  // namespace handoff
