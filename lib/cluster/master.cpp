// SPDX-License-Identifier: MIT
#include "cluster/master.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "cluster/pass_connection.hpp"
#include "os/error.hpp"

namespace handoff {
namespace {

/// Who may connect is told by the peer's uid; the file's mode must let those who are named.
Listener listen_for_workers(const MasterOptions& options) {
  ListenOptions listen;
  listen.type = options.supervisor.handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM;
  if (!options.allowed_uids.empty()) listen.mode = 0666;
  return listen_on(*options.join, listen);
}

}  // namespace

Master::Master(Reactor& reactor, const SignalMask& signals, MasterOptions options, Report report)
    : reactor_(reactor),
      signals_(signals),
      options_(std::move(options)),
      report_(std::move(report)),
      dispatcher_(std::make_unique<PassConnection>()),
      supervisor_(reactor, *dispatcher_, options_.supervisor, report_, [this] { on_change(); }),
      all_gone_(reactor) {
  ListenOptions listen;
  listen.allow_public = options_.allow_public;
  AcceptorOwner& owner = *this;
  for (const Address& address : options_.listen) {
    acceptors_.emplace_back(reactor_, listen_on(address, listen), owner, report_,
                            options_.allowed_uids);
  }
  if (options_.join) door_.emplace(*this, listen_for_workers(options_));
}

Master::Door::Door(Master& master, Listener listener)
    : master_(master),
      acceptor_(master.reactor_, std::move(listener), static_cast<AcceptorOwner&>(*this),
                master.report_) {}

void Master::Door::accepted(Fd connection, const SocketAddress&) {
  if (is_allowed_peer(connection.get(), master_.options_.allowed_uids)) {
    return master_.supervisor_.adopt(std::move(connection));
  }
  master_.report_(Severity::error, fmt::format("join: user {} is not allowed; see --allow-uid",
                                               peer_uid(connection.get())));
}

Master::~Master() {
  if (!options_.pidfile.empty() && accepting_) unlink(options_.pidfile.c_str());
}

Task<Supervisor::CutOff> Master::run() {
  reactor_.spawn(watch_signals());
  for (int i = 0; i < options_.workers; ++i) supervisor_.add();
  if (door_) reactor_.spawn(door_->acceptor().run());
  on_change();
  co_await all_gone_;
  co_return supervisor_.cut_off();
}

Task<void> Master::watch_signals() {
  Readiness readiness(reactor_, signals_.fd());
  for (;;) {
    while (const auto signal = signals_.try_read()) handle_signal(*signal);
    co_await readiness.readable();
  }
}

void Master::handle_signal(int signal) {
  switch (signal) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
    case SIGHUP:
      if (stopping_) return supervisor_.kill_all();
      return stop();
    case SIGTTIN:
      if (!stopping_) supervisor_.add();
      return;
    case SIGTTOU:
      if (!stopping_ && !supervisor_.retire_one()) {
        report_(Severity::error, "TTOU: the last worker stays");
      }
      return;
    case SIGUSR1:
      for (const std::string& line : supervisor_.describe()) report_(Severity::info, line);
      return;
    default: return;
  }
}

/// A worker became ready, has room, or is gone.
void Master::on_change() {
  if (stopping_ && supervisor_.size() == 0) all_gone_.set();
  if (!accepting_ && !stopping_ && supervisor_.all_started()) {
    begin_to_accept();
  }
  for (Acceptor& acceptor : acceptors_) acceptor.resume();
}

void Master::begin_to_accept() {
  accepting_ = true;
  if (!options_.pidfile.empty()) write_pidfile();
  std::string line = fmt::format("ready, {}, on", counted(supervisor_.size(), "worker"));
  for (Acceptor& acceptor : acceptors_) {
    line += " " + acceptor.listener().text();
    reactor_.spawn(acceptor.run());
  }
  if (door_) line += fmt::format(" (workers join at {})", options_.join->text);
  report_(Severity::info, line);
}

/// What waits in the backlogs was promised a connection, and still gets one.
void Master::stop() {
  stopping_ = true;
  report_(Severity::detail, "stopping");
  if (accepting_) {
    for (Acceptor& acceptor : acceptors_) acceptor.accept_waiting();
  }
  for (Acceptor& acceptor : acceptors_) acceptor.close();
  if (door_) door_->acceptor().close();
  supervisor_.retire_all();
  on_change();
}

void Master::write_pidfile() {
  // Written beside and renamed, so that nobody ever reads half a number.
  const std::string beside = options_.pidfile + ".new";
  const std::string text = fmt::format("{}\n", getpid());
  const Fd file(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const bool written = file.valid() && write(file.get(), text.data(), text.size()) ==
                                           static_cast<ssize_t>(text.size());
  if (!written || rename(beside.c_str(), options_.pidfile.c_str()) < 0) {
    throw SystemError(errno, "write the pidfile", options_.pidfile);
  }
}

bool Master::has_room() const {
  const std::size_t most = options_.max_connections;
  return dispatcher_->can_take() && (most == 0 || supervisor_.held() < most);
}

void Master::accepted(Fd connection, const SocketAddress& peer) {
  dispatcher_->work_arrived({++last_id_, std::move(connection), peer});
}

}  // namespace handoff
