// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>

#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

Task<void> yield_often(Reactor& reactor) {
  for (int i = 0; i < 10; ++i) { co_await reactor.yield(); }
}

void fill_socket(int socket) {
  const std::string bytes(65'536, 'x');
  while (send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {}
}

TEST_CASE("a wait for reading ends when there is something, or the end") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  FdWatcher watcher(reactor, ours.get());
  const auto main = [&, &peer = theirs]() -> Task<void> {
    bool woke = false;
    const auto waiter = [&]() -> Task<void> { woke = co_await watcher.readable(); };
    reactor.spawn(waiter());
    co_await yield_often(reactor);
    CHECK(!woke);
    test::write_text(peer.get(), "x");
    co_await yield_often(reactor);
    CHECK(woke);

    woke = false;
    reactor.spawn(waiter());
    co_await yield_often(reactor);
    CHECK(!woke);
    peer.reset();
    co_await yield_often(reactor);
    CHECK(woke);
  };
  reactor.run(main());
}

TEST_CASE("a wait for writing ends when there is room") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  fill_socket(ours.get());
  FdWatcher watcher(reactor, ours.get());
  bool woke = false;
  const auto waiter = [&]() -> Task<void> { woke = co_await watcher.writable(); };
  const auto main = [&, peer = theirs.get()]() -> Task<void> {
    reactor.spawn(waiter());
    co_await yield_often(reactor);
    CHECK(!woke);
    std::vector<char> sink(1 << 20);
    while (recv(peer, sink.data(), sink.size(), MSG_DONTWAIT) > 0) {}
    co_await yield_often(reactor);
    CHECK(woke);
  };
  reactor.run(main());
}

TEST_CASE("one can read and another write at a time, and both be interrupted") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  fill_socket(ours.get());
  FdWatcher watcher(reactor, ours.get());
  std::optional<bool> read;
  std::optional<bool> written;
  const auto reader = [&]() -> Task<void> { read = co_await watcher.readable(); };
  const auto writer = [&]() -> Task<void> { written = co_await watcher.writable(); };
  const auto main = [&, peer = theirs.get()]() -> Task<void> {
    // With nobody waiting it does nothing, also not later.
    watcher.interrupt();
    reactor.spawn(reader());
    reactor.spawn(writer());
    co_await yield_often(reactor);
    CHECK(!read);
    CHECK(!written);
    watcher.interrupt();
    watcher.interrupt();
    co_await yield_often(reactor);
    CHECK(read == false);
    CHECK(written == false);

    read.reset();
    reactor.spawn(reader());
    test::write_text(peer, "x");
    co_await yield_often(reactor);
    CHECK(read == true);
  };
  reactor.run(main());
}

TEST_CASE("a reader and a writer are woken by the same event") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  fill_socket(ours.get());
  FdWatcher watcher(reactor, ours.get());
  std::string woke;
  const auto reader = [&]() -> Task<void> {
    const bool ready = co_await watcher.readable();
    woke += ready ? 'r' : '-';
  };
  const auto writer = [&]() -> Task<void> {
    const bool ready = co_await watcher.writable();
    woke += ready ? 'w' : '-';
  };
  const auto main = [&, &peer = theirs]() -> Task<void> {
    reactor.spawn(reader());
    reactor.spawn(writer());
    co_await yield_often(reactor);
    CHECK(woke.empty());
    peer.reset();
    co_await yield_often(reactor);
  };
  reactor.run(main());
  CHECK(woke == "rw");
}

TEST_CASE("a peer that only ended its side does not make a full socket writable") {
  Reactor reactor;
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  fill_socket(ours.get());
  FdWatcher watcher(reactor, ours.get());
  std::optional<bool> written;
  const auto writer = [&]() -> Task<void> { written = co_await watcher.writable(); };
  const auto main = [&, peer = theirs.get()]() -> Task<void> {
    shutdown(peer, SHUT_WR);
    const bool ended = co_await watcher.readable();
    CHECK(ended);
    reactor.spawn(writer());
    co_await yield_often(reactor);
    CHECK(!written);
    watcher.interrupt();
    co_await yield_often(reactor);
    CHECK(written == false);
  };
  reactor.run(main());
}

TEST_CASE("a regular file is always ready") {
  Reactor reactor;
  const test::TemporaryDirectory directory;
  const Fd file(open(directory.path("f").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  FdWatcher watcher(reactor, file.get());
  const auto main = [&]() -> Task<int> {
    int ready = 0;
    for (int i = 0; i < 3; ++i) {
      ready += co_await watcher.readable() ? 1 : 0;
      ready += co_await watcher.writable() ? 1 : 0;
    }
    co_return ready;
  };
  CHECK(reactor.run_for_result(main()) == 6);
}

TEST_CASE("a wait that is dropped leaves the descriptor to the next") {
  const test::DescriptorCheck check;
  Reactor reactor;
  const auto [read_end, write_end] = make_pipe();
  std::string woke;
  const auto waiter = [&](int number, char name) -> Task<void> {
    FdWatcher watcher(reactor, number);
    co_await watcher.readable();
    woke += name;
  };
  const auto first = [&, number = read_end.get()]() -> Task<void> {
    reactor.spawn(waiter(number, 'a'));
    co_await yield_often(reactor);
  };
  reactor.run(first());
  test::write_text(write_end.get(), "x");
  reactor.run(waiter(read_end.get(), 'b'));
  CHECK(woke == "b");
}

/// A coroutine that waits to read from a pipe, and then destroys another one of its kind.
struct Rival {
  explicit Rival(Reactor& reactor) : watcher(reactor, pipe.read_end.get()) {}
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;
  ~Rival() {
    if (frame) { frame.destroy(); }
  }

  Task<void> run(std::unique_ptr<Rival>& other, int& woke) {
    co_await watcher.readable();
    ++woke;
    other.reset();
  }
  void start(std::unique_ptr<Rival>& other, int& woke) {
    frame = run(other, woke).release();
    frame.resume();
  }

  Pipe pipe = make_pipe();
  FdWatcher watcher;
  Task<void>::Handle frame;
};

TEST_CASE("what an earlier event of the same turn destroyed is not resumed") {
  const test::DescriptorCheck check;
  Reactor reactor;
  std::array<std::unique_ptr<Rival>, 2> rivals;
  int woke = 0;
  const auto main = [&]() -> Task<void> {
    for (auto& rival : rivals) { rival = std::make_unique<Rival>(reactor); }
    rivals[0]->start(rivals[1], woke);
    rivals[1]->start(rivals[0], woke);
    co_await yield_often(reactor);
    for (const auto& rival : rivals) { test::write_text(rival->pipe.write_end.get(), "x"); }
    co_await yield_often(reactor);
  };
  reactor.run(main());
  CHECK(woke == 1);
  CHECK((rivals[0] == nullptr) != (rivals[1] == nullptr));
}

TEST_CASE("a reader that destroys the writer of the same descriptor in the same turn is fine") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  fill_socket(ours.get());
  FdWatcher watcher(reactor, ours.get());
  bool written = false;
  const auto write = [&]() -> Task<void> {
    co_await watcher.writable();
    written = true;
  };
  bool read = false;
  Task<void>::Handle writer = write().release();
  const auto reader = [&]() -> Task<void> {
    co_await watcher.readable();
    read = true;
    std::exchange(writer, nullptr).destroy();
  };
  const auto main = [&, &peer = theirs]() -> Task<void> {
    writer.resume();
    reactor.spawn(reader());
    co_await yield_often(reactor);
    peer.reset();
    co_await yield_often(reactor);
  };
  reactor.run(main());
  CHECK(read);
  CHECK(!written);
}

TEST_CASE("a coroutine may destroy the watcher that has just resumed it") {
  const test::DescriptorCheck check;
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  int resumed = 0;
  const auto reader = [&, &fd = ours]() -> Task<void> {
    auto watcher = std::make_unique<FdWatcher>(reactor, fd.get());
    co_await watcher->readable();
    watcher.reset();
    fd.reset();
    ++resumed;
  };
  const auto main = [&, &peer = theirs]() -> Task<void> {
    reactor.spawn(reader());
    co_await yield_often(reactor);
    test::write_text(peer.get(), "x");
    co_await yield_often(reactor);
  };
  reactor.run(main());
  CHECK(resumed == 1);
}

TEST_CASE("a watcher that has let go of its descriptor is given no event, and can take it again") {
  Reactor reactor;
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  FdWatcher watcher(reactor, ours.get());
  int woken = 0;
  const auto main = [&, fd = ours.get(), peer = theirs.get()]() -> Task<void> {
    const auto reader = [&]() -> Task<void> {
      co_await watcher.readable();
      ++woken;
    };
    reactor.spawn(reader());
    co_await yield_often(reactor);
    watcher.unwatch();
    test::write_text(peer, "x");
    co_await yield_often(reactor);
    CHECK(woken == 0);
    watcher.interrupt();
    co_await yield_often(reactor);
    CHECK(woken == 1);
    std::array<char, 8> buffer{};
    CHECK(read(fd, buffer.data(), buffer.size()) == 1);
    reactor.spawn(reader());
    co_await yield_often(reactor);
    test::write_text(peer, "y");
    co_await yield_often(reactor);
    CHECK(woken == 2);
  };
  reactor.run(main());
}

}  // namespace
}  // namespace handoff
