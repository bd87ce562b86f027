// SPDX-License-Identifier: MIT
#include "cluster/master_link.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// A worker's end of a channel, and the master's in the hands of the test.
class Channel final : private MasterLink::Owner {
 public:
  Channel() {
    auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
    master_ = std::move(ours);
    link = std::make_shared<MasterLink>(reactor_, static_cast<MasterLink::Owner&>(*this),
                                        std::move(theirs));
  }

  /// What the master reads in each of its turns, from the first on, when so many are returned.
  std::vector<std::size_t> batches(std::size_t count) {
    std::vector<std::size_t> batches;
    const auto body = [&]() -> Task<void> {
      link->start(1000);
      co_await turns();
      CHECK(read() == 0);  // HELLO and READY
      give_back(count);
      do {
        co_await turns();
        batches.push_back(read());
      } while (batches.back() > 0);
    };
    reactor_.run(body());
    return batches;
  }

  Task<void> turns() {
    for (int i = 0; i < 20; ++i) co_await reactor_.yield();
  }

  void give_back(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Work work;
      work.connection = std::move(make_socket_pair(SOCK_STREAM).first);
      link->give_back(std::move(work));
    }
  }

  /// Reads all that is there; how many descriptors came.
  std::size_t read() {
    std::size_t count = 0;
    std::vector<char> packet(channel::kMaxMessage);
    for (;;) {
      const ReceiveResult result = recv_fds(master_.get(), packet, channel::kMaxDescriptors);
      if (result.outcome != ReceiveOutcome::received) return count;
      count += result.descriptors.size();
    }
  }

  std::shared_ptr<MasterLink> link;

 private:
  void connection_passed(Work) override {}
  void listeners_passed(std::vector<Fd>) override {}
  void listeners_missed() override {}
  void accept_asked() override {}
  void queue_passed(Fd, Fd) override {}
  void connections_missed(std::size_t) override {}
  void drain_asked(channel::Drain) override {}
  void master_gone() override {}
  void all_sent() override {}
  std::uint64_t requests() const override { return 0; }

  Reactor reactor_;
  Fd master_;
};

TEST_CASE("a worker returns one message at a time, when the master has read the last") {
  const test::DescriptorCheck check;
  Channel channel;
  CHECK(channel.batches(40) == std::vector<std::size_t>{16, 16, 8, 0});
  CHECK(channel.link->idle());
}

}  // namespace
}  // namespace handoff
