// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/pass/fd_passing.hpp>

#include "master/worker_channel.hpp"

/// What a worker is given besides connections, and is told and asked.
namespace handoff {

void WorkerChannel::pass_listeners(std::vector<Fd> listeners,
                                   std::function<void()> others_should_accept,
                                   std::string_view proxies) {
  others_should_accept_ = std::move(others_should_accept);
  accounts_.expect_own();
  std::string message = channel::encode_listeners(listeners.size(), proxies);
  pass_source(std::move(message), std::move(listeners));
}

void WorkerChannel::pass_queue(std::vector<Fd> memories) {
  std::string message = channel::encode_passing(channel::Type::queue, memories.size());
  pass_source(std::move(message), std::move(memories));
}

void WorkerChannel::pass_source(std::string message, std::vector<Fd> descriptors) {
  // What it has not taken yet is of no use any more.
  sender_.drop_descriptors();
  send_soon(std::move(message), std::move(descriptors));
}

void WorkerChannel::wake(channel::Type type) {
  if (!is_full() || !open() || sender_.messages() > 0) { return; }
  static const std::string kLook = channel::encode_passing(channel::Type::listener, 0);
  static const std::string kWake = channel::encode_passing(channel::Type::queue, 0);
  if (type == channel::Type::listener) { return send_soon(kLook); }
  // If the channel has no room, the worker has unread messages, and looks when it reads them.
  const SendResult result = send_fds(channel_.get(), kWake, {});
  if (result.outcome != SendOutcome::failed) { return; }
  tell(traffic_.send_failed, *this, std::size_t{0}, result.error_number);
  writer_.end_receiving();
}

void WorkerChannel::give_names() {
  send_soon(channel::encode_passing(channel::Type::listener, 0));
}

void WorkerChannel::ask_for_requests() {
  // A worker that does not read is not asked again and again.
  if (sender_.messages() < kMaxQuestions) { send_soon(channel::encode_requests(0)); }
}

void WorkerChannel::ask_whether_it_answers() {
  if (open()) { send_fds(channel_.get(), channel::encode_requests(0), {}); }
}

// The end.

void WorkerChannel::drain(channel::Drain how) {
  if (phase_ == WorkerChannelPhase::unheard) { enter(WorkerChannelPhase::drained_unheard); }
  if (phase_ == WorkerChannelPhase::open) { enter(WorkerChannelPhase::draining); }
  send_soon(channel::encode_drain(how));
}

void WorkerChannel::announce_lame_duck() {
  if (phase_ == WorkerChannelPhase::open && hello_.takes_lame_duck) {
    send_soon(channel::encode_lame_duck());
  }
}

void WorkerChannel::close(const Status& how) {
  if (!open()) { return; }
  enter(WorkerChannelPhase::closed);
  tell(life_.closed, *this, how);
}

void WorkerChannel::end() {
  enter(WorkerChannelPhase::closed);
  // Shut down now, not when the last task lets go: a STARTED in between would let two workers serve
  // one connection.
  shutdown(channel_.get(), SHUT_RDWR);
}

}  // namespace handoff
