// SPDX-License-Identifier: MIT
#include "master/worker_channel.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/pass/fd_passing.hpp>

namespace handoff {
namespace {

/// The most connections on their way to a worker that it has not started: one that hangs delays no
/// more than these.
constexpr std::size_t kMaxUnacknowledged = 128;

/// How long a worker without descriptors gets no connections.
constexpr auto kPause = std::chrono::milliseconds(100);

constexpr const char* kNoHello = "its first message was no HELLO";

}  // namespace

WorkerChannel::WorkerChannel(Reactor& reactor, LifeEvents life, TrafficEvents traffic,
                             std::shared_ptr<Custody> custody, Handshake handshake, int number,
                             Fd channel, WorkerOrigin origin)
    : reactor_(reactor),
      life_(std::move(life)),
      traffic_(std::move(traffic)),
      custody_(std::move(custody)),
      handshake_(handshake),
      number_(number),
      origin_(origin),
      channel_(std::move(channel)),
      watcher_(reactor, channel_.get()),
      receiver_(reactor, watcher_, channel_.get(), handshake, custody_, owner_of_receiver()),
      sender_(channel_.get(), handshake,
              [this](std::size_t connections, int error) {
                recount();
                tell(traffic_.send_failed, *this, connections, error);
              }),
      writer_(reactor, watcher_, channel_.get(), sender_, owner_of_writer()),
      accounts_(sender_, custody_, owner_of_accounts()),
      phase_(is_full() ? WorkerChannelPhase::unheard : WorkerChannelPhase::open),
      hello_{.calls = 0},
      credits_(is_full() ? 0 : std::numeric_limits<std::size_t>::max()) {}

MessageReceiver::Owner WorkerChannel::owner_of_receiver() {
  using Returns = MessageReceiver::Returns;
  MessageReceiver::Owner owner;
  owner.returns = [this] {
    if (!traffic_.passes_on || !traffic_.passes_on()) { return Returns::may_be_lost; }
    // Usually only a worker that drains returns connections.
    return is_draining() ? Returns::wait : Returns::unexpected;
  };
  owner.take = [this](MessageReceiver::Received received) { take(std::move(received)); };
  owner.is_open = [this] { return open(); };
  return owner;
}

ChannelWriter::Owner WorkerChannel::owner_of_writer() {
  ChannelWriter::Owner owner;
  owner.tried = [this] { recount(); };
  owner.went_on = [this] { room_changed(); };
  owner.all_sent = [this] {
    // Without messages, the worker is told to leave by the end of what it reads.
    if (is_draining() && !is_full()) { shutdown(channel_.get(), SHUT_WR); }
  };
  owner.is_open = [this] { return open(); };
  return owner;
}

ConnectionAccounts::Owner WorkerChannel::owner_of_accounts() {
  ConnectionAccounts::Owner owner;
  owner.assigned_changed = [this] { recount(); };
  owner.accepted = [this](std::size_t count) { tell(traffic_.accepted, count); };
  owner.returned = [this](std::vector<HeldConnection> held) {
    tell(traffic_.connections_returned, *this, std::move(held));
  };
  // A worker that does not read need not be told.
  owner.deposits_refused = [this](const std::vector<std::uint64_t>& ids) {
    if (sender_.messages() >= kMaxQuestions) { return; }
    send_soon(channel::encode_ids(channel::Type::refused, ids));
  };
  owner.lost = [this](std::size_t count) { tell(traffic_.connections_lost, *this, count); };
  return owner;
}

/// The only function that changes the phase. The columns are what happens to a channel, and each
/// row begins with the phase before. (1) The worker closes its end, or fail_with_protocol_error()
/// is called. (2) The channel fails, or a message is not valid.
///
///                   | its HELLO | another   | drain()         | (1)    | (2)    | end()
///                   |           | message   |                 |        |        |
///   ----------------+-----------+-----------+-----------------+--------+--------+-------
///   unheard         | open      | closed    | drained_unheard | closed | closed | closed
///   open            | closed    | open      | draining        | closed | closed | closed
///   drained_unheard | draining  | closed    | drained_unheard | closed | closed | closed
///   draining        | closed    | draining  | draining        | closed | closed | closed
///   closed          | nothing is received, sent or reported any more
///
/// A channel without a handshake is open from the start. LifeEvents::closed is called for each way
/// to `closed` but end().
void WorkerChannel::enter(WorkerChannelPhase next) {
  phase_ = next;
  if (next != WorkerChannelPhase::closed) { return; }
  // A worker that has only closed its sending side reads on until this.
  shutdown(channel_.get(), SHUT_WR);
  watcher_.interrupt();
}

bool WorkerChannel::has_room() const {
  // Without credits, a full channel is the only sign of a worker that does not keep up.
  const bool keeps_up = is_full() ? unacknowledged() < kMaxUnacknowledged : !writer_.is_blocked();
  const bool may_get = phase_ == WorkerChannelPhase::open || phase_ == WorkerChannelPhase::unheard;
  const bool is_left_out = passed_over_ || reactor_.now() < paused_until_;
  return may_get && !is_left_out && keeps_up && assigned() < credits_;
}

ledger::Totals WorkerChannel::totals() const {
  if (kept_) { return kept_->ledger().totals(); }
  ledger::Totals told;
  told.requests = requests_;
  return told;
}

void WorkerChannel::recount() {
  const std::size_t now = assigned();
  const auto change = static_cast<std::ptrdiff_t>(now - counted_);
  counted_ = now;
  if (change != 0) { tell(traffic_.assigned_changed, change); }
}

void WorkerChannel::room_changed() {
  tell(traffic_.has_room, *this);
}

// Receiving.

Task<void> WorkerChannel::receive_rest(std::shared_ptr<WorkerChannel> self) {
  self->writer_.end_receiving();
  // A worker that lives on could return a connection after the last message that is received here.
  shutdown(self->channel_.get(), SHUT_RD);
  co_await MessageReceiver::run_to_the_end(self->receiver_, self);
  self->end();
}

void WorkerChannel::take(MessageReceiver::Received received) {
  Status status = Status::ok();
  switch (received.outcome) {
    case MessageReceiver::Outcome::message: status = handle(std::move(received.message)); break;
    case MessageReceiver::Outcome::lost: status = lose(std::move(received.message)); break;
    case MessageReceiver::Outcome::end: close(Status::ok()); break;
    default: close(Status::failure(received.problem)); break;
  }
  if (!status.is_ok()) { close(status); }
}

Status WorkerChannel::handle(channel::Message message) {
  if (message.type != channel::Type::returned && !message.descriptors.empty()) {
    return Status::failure("it sent a descriptor with a message that has none");
  }
  if (message.type == channel::Type::hello) { return greet(message.hello); }
  if (!has_greeted()) { return Status::failure(kNoHello); }
  switch (message.type) {
    case channel::Type::ready: tell(life_.ready, *this); break;
    case channel::Type::refused: pause_after_refusal(); [[fallthrough]];
    case channel::Type::started:
    case channel::Type::finished:
    case channel::Type::deposit:
    case channel::Type::returned: {
      Status status = accounts_.take(std::move(message));
      if (status.is_ok()) { room_changed(); }
      return status;
    }
    case channel::Type::leave: tell(life_.would_leave, *this); break;
    case channel::Type::requests:
      requests_ = message.requests;
      if (std::exchange(passed_over_, false)) { room_changed(); }
      tell(life_.requests_told, *this);
      break;
    case channel::Type::listener: tell(others_should_accept_); break;
    case channel::Type::queue: break;  // the message has done its work by waking this process
    default: return Status::failure("it sent a message that only a master sends");
  }
  return Status::ok();
}

Status WorkerChannel::greet(const channel::Hello& hello) {
  if (hello.version != channel::kVersion) {
    return Status::failure(fmt::format("it speaks version {} of the channel, we speak {}",
                                       hello.version, channel::kVersion));
  }
  switch (phase_) {
    case WorkerChannelPhase::unheard: enter(WorkerChannelPhase::open); break;
    case WorkerChannelPhase::drained_unheard: enter(WorkerChannelPhase::draining); break;
    default: return Status::failure("it sent a second HELLO");
  }
  hello_ = hello;
  credits_ = hello.credits;
  if (hello.wants_ledger) { give_ledger(); }
  return Status::ok();
}

/// The ledger is sent before anything else, so that there is room for it. Without it the worker is
/// served like one that does not ask for a ledger.
void WorkerChannel::give_ledger() {
  // A ledger may be read only after its process has ended. If the process is not known, the ledger
  // only counts.
  const std::size_t most =
      origin_ == WorkerOrigin::joined_from_elsewhere ? 0 : std::size_t{ledger::kMaxEntries};
  const auto entries = static_cast<std::uint32_t>(std::min(credits_, most));
  try {
    const std::uint32_t methods = hello_.counts_methods ? ledger::kMethodSlots : 0;
    auto [ledger, file] = ledger::Ledger::make({entries, entries, hello_.threads, methods});
    const int descriptor = file.get();
    const SendResult result = send_fds(
        channel_.get(), channel::encode_passing(channel::Type::ledger, 1), {&descriptor, 1});
    if (result.outcome != SendOutcome::sent) { return; }
    kept_ = std::make_unique<KeptConnections>(std::move(ledger), custody_);
    sender_.keep_copies(*kept_);
    accounts_.keep_copies(*kept_);
  } catch (const SystemError& error) { custody_->tell_unkept(error.what()); }
}

Status WorkerChannel::lose(channel::Message message) {
  if (!has_greeted()) { return Status::failure(kNoHello); }
  Status status = accounts_.lose(std::move(message));
  if (status.is_ok()) { room_changed(); }
  return status;
}

void WorkerChannel::pause_after_refusal() {
  const bool pauses = reactor_.now() < paused_until_;
  if (pauses) { return; }
  paused_until_ = reactor_.now() + kPause;
  reactor_.spawn(end_pause(shared_from_this()));
}

Task<void> WorkerChannel::end_pause(std::shared_ptr<WorkerChannel> self) {
  co_await self->reactor_.sleep_until(self->paused_until_);
  if (self->open()) { self->room_changed(); }
}

// Sending.

/// A worker without a ledger knows nothing of replies that are owed. A client that does not take so
/// few bytes at once has not read for a long time: its connection ends.
void WorkerChannel::write_owed(Connection& connection) {
  if (connection.owed.empty()) { return; }
  const std::string owed = std::exchange(connection.owed, {});
  const int socket = connection.socket.get();
  const ssize_t size = ::send(socket, owed.data(), owed.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size != static_cast<ssize_t>(owed.size())) { shutdown(socket, SHUT_RDWR); }
}

/// The worker is asked for STARTED, which alone reports room again, before it can run out of room.
/// It may take what is sent first before the rest is sent: what waits to be sent counts too.
void WorkerChannel::pass(HeldConnection held) {
  std::optional<std::uint64_t> id;
  held.connection.wants_started =
      kept_ && (held.connection.wants_started || unacknowledged() >= kMaxUnacknowledged / 2);
  if (kept_) {
    id = kept_->reserve(held.connection);
  } else {
    write_owed(held.connection);
  }
  if (!id) { id = ++last_id_; }
  sender_.add(std::move(held), *id);
  recount();
}

std::deque<HeldConnection> WorkerChannel::take_unsent() {
  std::deque<HeldConnection> unsent = sender_.take_unsent();
  recount();
  return unsent;
}

void WorkerChannel::pass_over() {
  passed_over_ = true;
  std::deque<HeldConnection> all = sender_.take_unsent();
  if (kept_) {
    std::deque<HeldConnection> untaken = kept_->take_untaken();
    std::move(untaken.begin(), untaken.end(), std::back_inserter(all));
  }
  recount();
  if (all.empty()) { return; }
  tell(traffic_.connections_returned, *this,
       std::vector<HeldConnection>(std::make_move_iterator(all.begin()),
                                   std::make_move_iterator(all.end())));
}

std::deque<HeldConnection> WorkerChannel::take_all(Reach reach) {
  std::deque<HeldConnection> all;
  if (kept_) {
    // A worker that lives on keeps the connections that it has deposited.
    if (reach != Reach::on_its_way) { accounts_.deposits_taken(kept_->deposits()); }
    Rescued rescued = kept_->take_all(reach);
    all = std::move(rescued.connections);
    lost_ += rescued.counts.closed + rescued.counts.left;
    if (reach != Reach::on_its_way) { tell(traffic_.rescued, *this, rescued.counts); }
  }
  std::deque<HeldConnection> others = sender_.take_all();
  std::move(others.begin(), others.end(), std::back_inserter(all));
  recount();
  return all;
}

void WorkerChannel::flush() {
  if (open()) { writer_.flush(shared_from_this()); }
}

void WorkerChannel::send_soon(std::string message, std::vector<Fd> descriptors) {
  if (is_full() || !descriptors.empty()) {
    sender_.add(std::move(message), std::move(descriptors));
  }
  flush();
}

}  // namespace handoff
