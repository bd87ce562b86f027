// SPDX-License-Identifier: MIT
// These are not in the header: clang 14 with its function sanitizer can't compile inline
// coroutines.
#include "unit/played_server.hpp"

#include <handoff/async/fd_watcher.hpp>

#include "os/socket.hpp"

namespace handoff {

Task<void> test::PlayedServer::run() {
  FdWatcher watcher(reactor_, listener_.fd());
  for (;;) {
    Accepted accepted = try_accept(listener_.fd());
    if (accepted.outcome == Accepted::Outcome::connection) {
      ++connections_;
      reactor_.spawn(serve(*this, std::move(accepted.fd)));
    } else {
      co_await watcher.readable();
    }
  }
}

Task<void> test::PlayedServer::serve(PlayedServer& server, Fd socket) {
  Stream stream(server.reactor_, std::move(socket));
  ReceiveBuffer input(4096);
  for (;;) {
    input.make_room();
    const IoResult result = co_await stream.read_some(input.room());
    if (!result.done()) { co_return; }
    input.commit(result.size);
    if (!server.answer_all(stream, input)) { co_return; }
  }
}

}  // namespace handoff
