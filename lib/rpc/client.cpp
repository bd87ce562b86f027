// SPDX-License-Identifier: MIT
#include <utility>

#include <handoff/rpc/client.hpp>

#include "async/time_limit.hpp"
#include "rpc/client_connection.hpp"
#include "rpc/client_link.hpp"

namespace handoff {

// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::unique_ptr<Client>> Client::connect(Reactor& reactor, Address address, TimePoint deadline,
                                              std::uint32_t max_frame) {
  const TimeLimit limit(deadline);
  std::unique_ptr<ClientConnection> connection =
      co_await ClientConnection::connect(reactor, address, limit, max_frame);
  std::unique_ptr<Client> client(
      new Client(std::make_shared<Link>(reactor, std::move(connection), address.text)));
  co_return client;
}

Client::Client(Reactor& reactor, Fd socket, std::string name, std::uint32_t max_frame) {
  auto connection = std::make_unique<ClientConnection>(reactor, DialedSocket{std::move(socket), {}},
                                                       name, max_frame);
  link_ = std::make_shared<Link>(reactor, std::move(connection), std::move(name));
}

Client::Client(std::shared_ptr<Link> link) : link_(std::move(link)) {}

Client::~Client() {
  link_->close();
}

Task<Result> Client::call(std::string method, std::string params, TimePoint deadline) {
  return Link::call(link_, std::move(method), std::move(params), deadline);
}

}  // namespace handoff
