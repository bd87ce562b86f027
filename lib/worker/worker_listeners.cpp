// SPDX-License-Identifier: MIT
#include "worker/worker_listeners.hpp"

#include <fmt/format.h>

#include <utility>

#include <handoff/os/error.hpp>

#include "os/listen_on_all.hpp"
#include "os/socket.hpp"

namespace handoff {

WorkerListeners::WorkerListeners(Reactor& reactor, AcceptorOwner owner, Report report,
                                 PeerJudge judge)
    : reactor_(reactor),
      owner_(std::move(owner)),
      report_(std::move(report)),
      judge_(std::move(judge)) {}

std::vector<std::string> WorkerListeners::listen(const std::vector<Address>& addresses,
                                                 const ListenOptions& options) {
  std::vector<std::string> bound;
  for (const Address& address : addresses) {
    for (Listener& listener : listen_on_all(address, options)) {
      bound.push_back(listener.text());
      add(std::move(listener), Sharing::none);
    }
  }
  return bound;
}

void WorkerListeners::replace(std::vector<Fd> listeners, Sharing sharing) {
  acceptors_.remove_if([](const Acceptor& acceptor) { return !acceptor.is_running(); });
  for (Acceptor& old : acceptors_) { old.close(); }
  for (Fd& listener : listeners) {
    const std::string text = local_address(listener.get()).text();
    try {
      set_nonblocking(listener.get());
    } catch (const SystemError& error) {
      report_(Severity::error, fmt::format("cannot accept on {}: {}", text, error.what()));
      continue;
    }
    add(Listener::adopt(std::move(listener), text), sharing);
  }
}

void WorkerListeners::add(Listener listener, Sharing sharing) {
  acceptors_.emplace_back(reactor_, std::move(listener), owner_, report_, judge_,
                          Judged::abstract_names, sharing);
  reactor_.spawn(acceptors_.back().run());
}

void WorkerListeners::accept_now() {
  for (Acceptor& acceptor : acceptors_) { acceptor.accept_now(); }
}

void WorkerListeners::resume() {
  for (Acceptor& acceptor : acceptors_) { acceptor.resume(); }
}

void WorkerListeners::close(Waiting waiting) {
  for (Acceptor& acceptor : acceptors_) {
    if (waiting == Waiting::accept) { acceptor.accept_waiting(); }
    acceptor.close();
  }
}

}  // namespace handoff
