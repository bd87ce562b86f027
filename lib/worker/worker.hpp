// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/connect.hpp"
#include "async/event.hpp"
#include "async/limited_line.hpp"
#include "async/mailbox.hpp"
#include "async/race.hpp"
#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/signals.hpp"
#include "os/socket.hpp"
#include "rpc/acceptor.hpp"
#include "rpc/method_table.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/server_context.hpp"
#include "rpc/session.hpp"
#include "worker/master_channel.hpp"
#include "worker/queue_consumer.hpp"

namespace handoff {

struct WorkerOptions {
  SessionLimits limits;     ///< of all threads together
  std::size_t threads = 1;  ///< reactors
  std::size_t credits = 0;  ///< connections held at a time; 0: what the descriptor limit allows
  bool allow_public = false;
  Duration drain_timeout = std::chrono::seconds(30);
  bool reloads = false;  ///< HUP has the methods made again; otherwise it drains
  std::uint64_t max_requests = ~std::uint64_t{0};  ///< then it asks to be drained and replaced
  Duration max_lifetime{};                         ///< the same; 0: none
  /// Besides this process's user and root: those whose master is joined, and who may connect to an
  /// abstract name.
  std::vector<uid_t> allowed_uids;
  bool wake_all = false;  ///< by each connection at a listener that a master has passed
};

/// A worker's life: gets connections from its master, from its own listeners or as its stdin and
/// stdout, and serves them until it is told to drain.
class Worker final : private AcceptorOwner, private MasterChannel::Owner {
 public:
  Worker(Reactor& reactor, const SignalMask& signals, const MakeMethods& make_methods,
         const WorkerOptions& options, Report report);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// On the channel that a master gave it. `listeners` come with it, and count when the channel has
  /// no messages: else the master passes them when it is time.
  Task<void> run_on_channel(Fd channel, std::vector<Fd> listeners = {});
  /// On the channel of the running master that has this named socket, and again after that one was
  /// replaced or has died. Throws Unreachable when there is none within `wait`, at first or later,
  /// or it refuses us.
  Task<void> run_joined(Address address, Duration wait);
  /// Alone, on listeners of its own.
  Task<void> run_alone(const std::vector<Address>& addresses);
  /// One connection on stdin and stdout.
  Task<void> run_on_stdio();

  /// Connections that were cut off because they did not end in time.
  std::size_t cut_off() const { return cut_off_; }

 private:
  Task<void> watch_signals();
  void handle_signal(const ReceivedSignal& signal);
  void reload();
  void start_threads(const MakeMethods& make_methods);
  void serve(Connection connection);
  bool run_elsewhere(Call& call, const std::function<void(Result)>& done);
  std::size_t held() const;
  void give_back(Connection connection);
  void ended(std::uint64_t id);
  bool limits_requests() const { return options_.max_requests != WorkerOptions().max_requests; }
  void drain_services(bool give_back);
  Task<void> serve_channel(Fd channel, std::vector<Fd> listeners = {});
  Task<Fd> connect_to_master(const Address& address, TimeLimit limit);
  Task<Fd> join_again(const Address& address, Duration wait, bool is_full);
  void check_master(int channel) const;
  Task<Fd> wait_for_master(const Address& address, Duration wait);
  void drain(channel::Drain how);
  void ask_to_leave();
  void leave();
  void set_drain_limit();
  bool is_overdue() const;
  bool is_busy() const;
  void require_full_channel() const;
  Task<void> wait_until_drained();
  Task<void> wait_until_idle();

  struct Relay;
  static Task<void> copy(std::shared_ptr<Relay> relay, Stream& from, Stream& to);
  Task<void> relay_output(std::shared_ptr<Relay> relay);

  void connection_passed(Connection connection) override;
  void listeners_passed(std::vector<Fd> listeners) override;
  void listeners_missed() override;
  void accept_asked() override;
  void queue_passed(Fd masters, Fd ours) override;
  void connections_missed(std::size_t count) override;
  void connection_not_returned(std::size_t unread, int error) override;
  void master_heard() override;
  void return_failed(int error) override;
  void channel_failed(int error) override;
  void drain_asked(channel::Drain how) override { drain(how); }
  void master_gone() override;
  void all_sent() override { changed_.set(); }
  std::uint64_t requests() const override;
  void when_threads_answer(const std::function<void()>& then) override;
  bool has_room() const override { return held() < options_.credits; }
  void accepted(Connection connection) override;
  void leaves_to_others() override;

  Reactor& reactor_;
  const SignalMask& signals_;
  std::optional<Mailbox> mailbox_;  ///< of the threads, if there are any
  MakeMethodTable make_method_table_;
  WorkerOptions options_;
  Report report_;
  PeerJudge judge_;
  LimitedLine report_joined_;
  LimitedLine report_lost_;  ///< of connections that could not be taken or given back
  Service service_;
  std::atomic<std::int64_t> requests_left_;
  std::list<Acceptor> acceptors_;
  std::uint64_t last_own_id_ = 0;  ///< of the connections that we accept beside a master
  std::shared_ptr<MasterChannel> link_;
  std::shared_ptr<QueueEnd> queue_;
  Event changed_;  ///< a connection has ended, or the drain has begun or is over
  TimePoint drained_by_ = kNever;
  std::optional<EventTimeout> drain_alarm_;
  Cancellation waiting_for_master_;  ///< ended by a signal
  std::string join_name_;  ///< the socket of the master that it joins, as the user wrote it
  bool joined_ = false;
  bool join_again_ = false;
  int refusals_ = 0;  ///< in a row: the master has closed the channel without a word
  std::size_t relaying_ = 0;
  std::size_t cut_off_ = 0;
  bool leaving_ = false;    ///< because of a signal
  bool cut_short_ = false;  ///< because of a second one
  std::size_t next_thread_ = 0;
  std::deque<ReactorThread> threads_;  ///< the reactors besides our own; the first to be destroyed
};

}  // namespace handoff
