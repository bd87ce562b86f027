// SPDX-License-Identifier: MIT
#include "master/join_endpoint.hpp"

#include <utility>

namespace handoff {

JoinEndpoint::JoinEndpoint(Reactor& reactor, Listener listener,
                           std::function<void(Fd channel)> joined, Report report, PeerJudge judge)
    : reactor_(reactor),
      acceptor_(reactor, std::move(listener),
                {.accepted = [joined = std::move(joined)](
                                 Connection connection) { joined(std::move(connection.socket)); }},
                std::move(report), std::move(judge), Judged::everybody) {}

void JoinEndpoint::open() {
  if (acceptor_.is_idle()) { reactor_.spawn(acceptor_.run()); }
}

}  // namespace handoff
