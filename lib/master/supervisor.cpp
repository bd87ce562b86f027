// SPDX-License-Identifier: MIT
#include "master/supervisor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <numeric>
#include <set>
#include <utility>

#include "os/error.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// How long a worker may take to say how many requests it has had.
constexpr auto kAnswerTime = std::chrono::milliseconds(200);

/// How often one is looked at whose end epoll can't report.
constexpr auto kWatchPause = std::chrono::milliseconds(100);

/// Lines about workers that have joined, within a second: several may leave at a time, and one that
/// joins again and again must not flood the log.
constexpr std::size_t kJoinedBurst = 32;

}  // namespace

Supervisor::Supervisor(Reactor& reactor, Dispatcher& dispatcher, std::shared_ptr<Custody> custody,
                       SupervisorOptions options, Report report, std::function<void()> changed,
                       std::function<void()> has_room)
    : reactor_(reactor),
      dispatcher_(dispatcher),
      custody_(std::move(custody)),
      options_(std::move(options)),
      report_(std::move(report)),
      report_joined_left_(reactor, saying(report_, Severity::info), kJoinedBurst),
      report_joined_trouble_(reactor, saying(report_, Severity::error), kJoinedBurst),
      report_lost_(reactor, saying(report_, Severity::error)),
      changed_(std::move(changed)),
      has_room_(std::move(has_room)),
      progress_(reactor) {
  if (options_.hang_timeout > Duration::zero()) reactor_.spawn(watch_answers());
}

Supervisor::~Supervisor() {
  if (guard_ && members_.empty()) guard_->dismiss();
}

// Places: each has a coroutine that keeps a worker in it.

void Supervisor::add() {
  reactor_.spawn(keep(places_.emplace_back(reactor_, free_number())));
}

bool Supervisor::retire_one() {
  const auto serving = [](const Place& place) { return !place.retired; };
  if (std::count_if(places_.begin(), places_.end(), serving) < 2) return false;
  retire(*std::find_if(places_.rbegin(), places_.rend(), serving));
  return true;
}

void Supervisor::scale(std::size_t count) {
  const auto serving = [&] {
    return static_cast<std::size_t>(std::count_if(
        places_.begin(), places_.end(), [](const Place& place) { return !place.retired; }));
  };
  while (serving() < count) add();
  while (serving() > count && retire_one()) {
  }
}

Task<void> Supervisor::keep(Place& place) {
  for (;;) {
    // A successor may have come meanwhile.
    if (place.current == nullptr && place.next == nullptr) place.current = try_start(place);
    bool was_ready = false;
    TimePoint started = reactor_.now();
    while (place.current != nullptr || place.next != nullptr) {
      if (place.current != nullptr) {
        was_ready = place.current->was_ready;
        started = place.current->started;
      }
      place.changed.clear();
      co_await place.changed;
    }
    if (place.retired) break;
    const Duration pause = pause_after_death(place, was_ready, reactor_.now() - started);
    changed_();
    if (pause > Duration::zero()) {
      report_(Severity::info,
              fmt::format("worker {}: started again in {}", place.number, in_words(pause)));
      Alarm alarm(reactor_, place.changed, reactor_.now() + pause);
      place.changed.clear();
      co_await place.changed;
    } else {
      co_await reactor_.yield();
    }
    if (place.retired) break;
    ++place.restarts;
  }
  start_failures_.place_removed(place.number);
  places_.remove_if([&](const Place& other) { return &other == &place; });
  changed_();
}

/// None when the program can't be executed, which is an error of the command line when it never
/// could.
Member* Supervisor::try_start(Place& place) {
  if (place.retired) return nullptr;
  try {
    return &start(place);
  } catch (const SystemError& error) {
    if (!any_started_) throw;
    report_(Severity::error, error.what());
    return nullptr;
  }
}

/// Throws SystemError when the program can't be executed.
Member& Supervisor::start(Place& place) {
  const int type = options_.handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM;
  auto [ours, theirs] = make_socket_pair(type);
  guard_workers();
  ProcessTree child = spawn_worker(options_.command, place.number, marks_.next(), theirs,
                                   dispatcher_.inheritance());
  any_started_ = true;
  Member& member = members_.emplace_back(reactor_, place.number);
  custody_->set_workers(members_.size());
  member.place = &place;
  member.child = std::move(child);
  member.link =
      std::make_shared<WorkerChannel>(reactor_, static_cast<WorkerChannel::Owner&>(*this), custody_,
                                      options_.handshake, place.number, std::move(ours));
  member.exited.emplace(reactor_, member.child.pidfd());
  member.limit(options_.ready_timeout);
  member.link->start();
  report_(Severity::detail, fmt::format("{}: started", member.name()));
  reactor_.spawn(live(member));
  return member;
}

/// From its start on until it was reaped.
Task<void> Supervisor::live(Member& member) {
  if (!member.link->is_full()) worker_ready(*member.link);
  while (!co_await exits_in_time(member)) {
    if (reactor_.now() < member.due) continue;  // it may have got ready in this very turn
    report_(Severity::error, describe_overdue(member));
    member.kill(LeaveReason::overdue);
  }
  co_await outlast(member);
  co_await WorkerChannel::receive_rest(member.link);
  member.unlimit();
  const ExitStatus status = member.child.finish();
  member_ended(member, status);
}

/// False also without a reason: then look at the time.
Task<bool> Supervisor::exits_in_time(Member& member) {
  try {
    co_return co_await member.exited->readable();
  } catch (const SystemError& error) {
    report_lost_(fmt::format("{}: {}; trying again", member.name(), error.what()));
  }
  co_await reactor_.sleep_until(reactor_.now() + kWatchPause);
  co_return member.child.leader_has_ended();
}

/// A worker is there until nothing of its tree is. What is left of one that was told to leave has
/// the time that it was given; what another one has left behind is killed at once.
Task<void> Supervisor::outlast(Member& member) {
  member.outlive_child();
  for (;;) {
    member.wake.clear();
    if (member.child.is_empty()) co_return;
    member.left_others = true;
    const bool drains = member.phase == WorkerPhase::draining;
    if (drains && reactor_.now() < member.due) {
      member.child.term();
    } else {
      if (drains) report_(Severity::error, describe_overdue(member));
      if (!member.was_told_to_leave()) dispatcher_.worker_left(*member.link);
      member.kill(LeaveReason::overdue);
    }
    co_await member.wake;
  }
}

void Supervisor::children_ended() {
  reap_orphans();
  for (Member& member : members_) {
    if (!member.joined && !member.exited) member.wake.set();
  }
}

/// Workers without a handshake need not notice that the channel ends when we are killed.
void Supervisor::guard_workers() {
  if (guard_ || options_.handshake == Handshake::full) return;
  GuardOrders orders;
  orders.mark = marks_.prefix();
  orders.signal = dispatcher_.inheritance().empty() ? 0 : SIGTERM;
  orders.patience = std::chrono::ceil<std::chrono::milliseconds>(options_.drain_timeout);
  try {
    guard_.emplace(orders);
  } catch (const SystemError& error) {
    report_(Severity::error,
            fmt::format("{}; workers will outlive this master if it is killed", error.what()));
  }
}

void Supervisor::member_ended(Member& member, const ExitStatus& status) {
  forget(member);
  if (member.was_told_to_leave()) {
    report_(Severity::detail, fmt::format("{}: left, {}", member.name(), status.text()));
    const bool killed = member.phase == WorkerPhase::killed;
    const bool was_cut_off = !status.success() || (member.left_others && killed);
    if (stopping() && member.leave_reason == LeaveReason::drained && was_cut_off) {
      cut_off_.connections += member.link->assigned();
      if (killed) ++cut_off_.workers;
    }
  } else {
    last_failure_ = fmt::format("{}: {}{}", member.name(), member.end_in_words(status),
                                member.was_ready ? "" : ", before it was ready");
    report_(Severity::error, last_failure_);
    const bool ended_by_itself = member.leave_reason == LeaveReason::none;
    if (!member.was_ready && ended_by_itself && member.place != nullptr) {
      start_failures_.ended(member.number, status);
    }
  }
  if (Place* place = member.place) {
    place->last_exit = status.text();
    if (place->next == &member) {
      place->next = nullptr;
    } else {
      place->current = nullptr;
      const Member* next = place->next;
      if (next != nullptr && next->is_ready()) promote_next(*place);
    }
    place->changed.set();
  }
  remove(member);
  progress_.notify_all();
  changed_();
}

void Supervisor::forget(Member& member) {
  dispatcher_.worker_gone(*member.link);
  asked_.erase(member.link.get());
}

void Supervisor::remove(Member& member) {
  held_ -= member.link->assigned();
  members_.remove_if([&](const Member& other) { return &other == &member; });
  custody_->set_workers(members_.size());
}

/// None after a worker that had served well; else longer each time.
Duration Supervisor::pause_after_death(Place& place, bool was_ready, Duration age) const {
  if (was_ready && age >= options_.backoff_max) place.restarted_at_once = false;
  if (was_ready && !place.restarted_at_once) {
    place.restarted_at_once = true;
    place.pauses = 0;
    return Duration::zero();
  }
  Duration pause = options_.backoff_min;
  for (unsigned i = 0; i < place.pauses && pause < options_.backoff_max; ++i) pause *= 2;
  ++place.pauses;
  return std::min(pause, options_.backoff_max);
}

// Workers that hang.

/// For as long as there is a supervisor.
Task<void> Supervisor::watch_answers() {
  const Duration quarter = std::max<Duration>(options_.hang_timeout / AnswerWatch::kQuarters,
                                              std::chrono::milliseconds(1));
  for (;;) {
    const TimePoint due = reactor_.now() + quarter;
    co_await reactor_.sleep_until(due);
    const bool late = Clock::now() - due > quarter;
    for (Member& member : members_) {
      judge_answers(member, late ? AnswerWatch::Look::late : AnswerWatch::Look::in_time);
    }
  }
}

/// One that still starts has --ready-timeout, and need not answer before.
void Supervisor::judge_answers(Member& member, AnswerWatch::Look look) {
  const bool may_answer = member.is_ready() || member.phase == WorkerPhase::draining;
  if (!may_answer || !member.link->open() || !member.link->answers()) return;
  const bool hangs = member.answers.quarter_passed(look) == AnswerWatch::Verdict::hangs;
  if (!hangs || member.link->has_unread()) return member.link->ask_whether_it_answers();
  const std::string line = fmt::format(
      "{}: no answer within {}, {} with {}", member.name(), in_words(options_.hang_timeout),
      member.joined ? "left alone" : "killed", counted(member.link->assigned(), "connection"));
  if (member.joined) {
    report_joined_trouble_(line);
  } else {
    report_(Severity::error, line);
  }
  member.kill(LeaveReason::overdue);
}

// Workers that join.

void Supervisor::adopt(Fd channel) {
  const auto joined = std::count_if(members_.begin(), members_.end(),
                                    [](const Member& member) { return member.joined; });
  if (static_cast<std::size_t>(joined) >= kMaxJoined) {
    return report_joined_trouble_(fmt::format("join: {} workers are the limit", kMaxJoined));
  }
  Member& member = members_.emplace_back(reactor_, free_number());
  custody_->set_workers(members_.size());
  member.joined = true;
  member.peer_pid = peer_credentials(channel.get()).pid;
  member.link =
      std::make_shared<WorkerChannel>(reactor_, static_cast<WorkerChannel::Owner&>(*this), custody_,
                                      options_.handshake, member.number, std::move(channel), true);
  member.limit(options_.ready_timeout);
  reactor_.spawn(host(member));
  member.link->start();
  // Whoever hears from us is not refused.
  member.link->ask_for_requests();
}

/// From its joining on until it is gone.
Task<void> Supervisor::host(Member& member) {
  if (!member.link->is_full()) worker_ready(*member.link);
  while (member.link->open() && member.phase != WorkerPhase::killed) {
    member.wake.clear();
    co_await member.wake;
    if (member.link->open() && reactor_.now() >= member.due) {
      report_joined_trouble_(describe_overdue(member));
      member.kill(LeaveReason::overdue);
    }
  }
  // What it has returned lies in its channel, and goes to others.
  co_await WorkerChannel::receive_rest(member.link);
  report_joined_left_(fmt::format("{}: left", member.name()));
  if (stopping() && member.phase == WorkerPhase::killed) {
    cut_off_.connections += member.link->assigned();
  }
  forget(member);
  remove(member);
  progress_.notify_all();
  changed_();
}

// Replacing.

Task<std::string> Supervisor::reload() {
  const std::uint64_t mine = ++reloads_wanted_;
  if (!std::exchange(reloading_, true)) reactor_.spawn(reload_all());
  while (reloads_done_ < mine) co_await progress_.wait();
  co_return reload_problem_;
}

/// One after another, and one for all that were asked for meanwhile.
Task<void> Supervisor::reload_all() {
  while (reloads_done_ < reloads_wanted_) {
    const std::uint64_t done = reloads_wanted_;
    reload_problem_ = co_await reload_once();
    reloads_done_ = done;
    progress_.notify_all();
  }
  reloading_ = false;
  progress_.notify_all();
  changed_();
}

Task<std::string> Supervisor::reload_once() {
  report_(Severity::info, "reloading");
  std::string problem;
  std::vector<std::pair<int, pid_t>> successors;
  for (Place& place : places_) {
    if (place.retired || !problem.empty()) continue;
    // One that replace() has started may have read what it is made of before that was changed.
    if (place.next != nullptr) drop_next(place);
    if (start_next(place, problem)) successors.emplace_back(place.number, place.next->child.pid());
  }
  bool all_ready = false;
  while (problem.empty() && !all_ready && !stopping()) {
    all_ready = true;
    for (const auto& [number, pid] : successors) {
      const Place* place = find_place(number);
      if (place == nullptr || place->retired) continue;
      // It serves already: nobody else did, or replace() was at work.
      if (place->current != nullptr && place->current->child.pid() == pid) continue;
      if (place->next == nullptr) {
        problem = last_failure_.empty() ? "a new worker is gone" : last_failure_;
      }
      all_ready = all_ready && place->next != nullptr && place->next->is_ready();
    }
    if (problem.empty() && !all_ready) co_await progress_.wait();
  }
  if (stopping()) co_return "stopping";
  for (const auto& [number, pid] : successors) {
    Place* place = find_place(number);
    if (place == nullptr || place->next == nullptr) continue;
    if (problem.empty()) {
      promote_next(*place);
    } else {
      drop_next(*place);
    }
  }
  report_(problem.empty() ? Severity::info : Severity::error,
          problem.empty() ? fmt::format("reloaded, {}", counted(successors.size(), "worker"))
                          : fmt::format("reload: {}; the old workers serve on", problem));
  co_return problem;
}

Task<std::string> Supervisor::replace(int number) {
  Place* place = find_place(number);
  if (place == nullptr || place->retired) {
    for (Member& member : members_) {
      if (member.number != number || !member.joined) continue;
      if (!member.is_leaving()) drain(member, {.give_back = true});
      co_return "";
    }
    co_return fmt::format("there is no worker {}", number);
  }
  if (place->replacing || reloading_) co_return "it is being replaced already";
  std::string problem;
  if (!start_next(*place, problem)) co_return problem;
  place->replacing = true;
  const pid_t next = place->next->child.pid();
  const auto is_next = [next](const Member* member) {
    return member != nullptr && member->child.pid() == next;
  };
  while (is_next(place->next) && !place->next->is_ready()) {
    co_await progress_.wait();
    place = find_place(number);
    if (place == nullptr || stopping()) co_return "";
  }
  place->replacing = false;
  progress_.notify_all();
  if (is_next(place->next)) promote_next(*place);
  if (is_next(place->current)) co_return "";
  if (!reloading_) co_return last_failure_;
  while (reloading_ && !stopping()) co_await progress_.wait();
  co_return reload_problem_;
}

/// For a worker that has asked to be drained. It serves until it was replaced.
Task<void> Supervisor::recycle(int number, pid_t pid) {
  Duration pause = options_.backoff_min;
  const auto is_it = [pid](const Member* member) {
    return member != nullptr && member->child.pid() == pid;
  };
  for (;;) {
    const Place* place = find_place(number);
    if (place == nullptr || place->retired || stopping()) co_return;
    if (!is_it(place->current) && !is_it(place->next)) co_return;
    if (reloading_ || place->replacing || is_it(place->next)) {
      co_await progress_.wait();
      continue;
    }
    const std::string problem = co_await replace(number);
    if (problem.empty()) co_return;
    report_(Severity::error,
            fmt::format("worker {}: it could not be replaced: {}; trying again", number, problem));
    co_await reactor_.sleep_until(reactor_.now() + pause);
    pause = std::min(pause * 2, options_.backoff_max);
  }
}

bool Supervisor::start_next(Place& place, std::string& problem) {
  try {
    place.next = &start(place);
    return true;
  } catch (const SystemError& error) {
    problem = error.what();
    return false;
  }
}

/// What comes now goes to the successor; the old one drains.
void Supervisor::promote_next(Place& place) {
  Member* old = std::exchange(place.current, std::exchange(place.next, nullptr));
  place.current->enter(WorkerPhase::serving);
  dispatcher_.worker_joined(*place.current->link);
  progress_.notify_all();
  if (old != nullptr) {
    old->place = nullptr;
    drain(*old, {.give_back = true});
  }
  place.changed.set();
  changed_();
}

void Supervisor::drop_next(Place& place) {
  Member* next = std::exchange(place.next, nullptr);
  next->place = nullptr;
  next->kill(LeaveReason::discarded);
  place.changed.set();
}

void Supervisor::retire(Place& place) {
  place.retired = true;
  if (place.next != nullptr) drop_next(place);
  if (Member* old = std::exchange(place.current, nullptr)) {
    old->place = nullptr;
    drain(*old, {.give_back = true});
  }
  place.changed.set();
}

void Supervisor::retire_all(channel::Drain how) {
  retirement_ = how.give_back ? Retirement::handing_over : Retirement::closing;
  for (Place& place : places_) {
    place.retired = true;
    if (place.next != nullptr) drop_next(place);
    if (place.current != nullptr) std::exchange(place.current, nullptr)->place = nullptr;
    place.changed.set();
  }
  for (Member& member : members_) {
    if (!member.is_leaving()) {
      drain(member, how);
    } else if (!how.give_back) {
      member.link->drain(how);  // what it was to give back, it closes
    }
  }
  progress_.notify_all();
}

void Supervisor::kill_all() {
  retire_all({});
  for (Member& member : members_) member.kill(LeaveReason::drained);
}

/// What it was not sent goes to others, unless all shall close what they have.
void Supervisor::drain(Member& member, channel::Drain how) {
  const bool needs_signal = serves_without_channel(member) || member.phase == WorkerPhase::starting;
  if (needs_signal && !member.joined) member.child.term();
  member.enter(WorkerPhase::draining, LeaveReason::drained);
  if (how.give_back) dispatcher_.worker_left(*member.link);
  member.link->drain(how);
  member.limit(options_.drain_timeout);
}

/// One that accepts for itself, and does not know our messages, may have closed a descriptor that
/// means nothing to it, and needs a signal to end.
bool Supervisor::serves_without_channel(const Member& member) const {
  return !member.joined && !member.link->is_full() && !dispatcher_.inheritance().empty();
}

std::string Supervisor::describe_overdue(const Member& member) const {
  if (member.phase == WorkerPhase::starting) {
    return fmt::format("{}: not ready within {}, killed", member.name(),
                       in_words(options_.ready_timeout));
  }
  return fmt::format("{}: still there after {}, {} with {}", member.name(),
                     in_words(options_.drain_timeout), member.joined ? "left alone" : "killed",
                     counted(member.link->assigned(), "connection"));
}

// What is known.

bool Supervisor::all_started() const {
  return std::all_of(places_.begin(), places_.end(), [](const Place& place) {
    return place.current != nullptr && place.current->is_ready();
  });
}

std::size_t Supervisor::size() const {
  const auto count = [](const auto& list, auto condition) {
    return static_cast<std::size_t>(std::count_if(list.begin(), list.end(), condition));
  };
  return count(places_, [](const Place& place) { return !place.retired; }) +
         count(members_, [](const Member& member) { return member.joined; });
}

std::vector<WorkerStatus> Supervisor::status() const {
  const auto name_of = [](const Member& member) {
    if (member.is_leaving()) return "draining";
    return member.is_ready() ? "ready" : "starting";
  };
  std::vector<WorkerStatus> all;
  for (const Member& member : members_) {
    WorkerStatus status;
    status.number = member.number;
    status.pid = member.pid();
    status.state = name_of(member);
    status.joined = member.joined;
    status.connections = member.link->assigned();
    status.passed = member.link->connections_total();
    status.requests = member.link->requests();
    status.age = Clock::now() - member.started;
    if (member.place != nullptr) {
      status.restarts = member.place->restarts;
      status.last_exit = member.place->last_exit;
    }
    all.push_back(std::move(status));
  }
  for (const Place& place : places_) {
    if (place.current != nullptr || place.next != nullptr || place.retired) continue;
    WorkerStatus status;
    status.number = place.number;
    status.state = "pausing";
    status.restarts = place.restarts;
    status.last_exit = place.last_exit;
    all.push_back(std::move(status));
  }
  std::stable_sort(all.begin(), all.end(), [](const WorkerStatus& one, const WorkerStatus& other) {
    return one.number < other.number;
  });
  return all;
}

Task<void> Supervisor::refresh_requests() {
  for (const Member& member : members_) {
    if (!member.link->is_full() || !member.link->open()) continue;
    if (member.phase == WorkerPhase::starting) continue;
    asked_.insert(member.link.get());
    member.link->ask_for_requests();
  }
  const TimePoint limit = Clock::now() + kAnswerTime;
  while (!asked_.empty() && Clock::now() < limit) co_await progress_.wait(limit);
  asked_.clear();
}

std::vector<std::string> Supervisor::describe() const {
  std::vector<std::string> lines;
  for (const WorkerStatus& worker : status()) {
    const std::string pid = worker.pid > 0 ? fmt::format(", pid {}", worker.pid) : "";
    lines.push_back(fmt::format("worker {}{}: {}, {}, {}", worker.number, pid, worker.state,
                                counted(worker.connections, "connection"),
                                counted(worker.restarts, "restart")));
  }
  return lines;
}

Place* Supervisor::find_place(int number) {
  const auto found = std::find_if(places_.begin(), places_.end(),
                                  [number](const Place& place) { return place.number == number; });
  return found == places_.end() ? nullptr : &*found;
}

/// The lowest that nobody has.
int Supervisor::free_number() const {
  std::set<int> taken;
  for (const Place& place : places_) taken.insert(place.number);
  for (const Member& member : members_) taken.insert(member.number);
  int number = 1;
  while (taken.contains(number)) ++number;
  return number;
}

Member& Supervisor::member_of(const WorkerChannel& link) {
  return *std::find_if(members_.begin(), members_.end(),
                       [&](const Member& member) { return member.link.get() == &link; });
}

// What workers say.

void Supervisor::worker_ready(WorkerChannel& link) {
  Member& member = member_of(link);
  if (member.phase != WorkerPhase::starting) return;
  const bool waits = member.place != nullptr && member.place->next == &member;
  member.enter(waits ? WorkerPhase::standby : WorkerPhase::serving);
  member.was_ready = true;
  start_failures_.worker_ready();
  member.unlimit();
  report_(Severity::detail, fmt::format("{}: ready", member.name()));
  if (Place* place = member.place) {
    if (place->next == &member) {
      // Nobody serves in its place: it need not wait for the others.
      if (place->current == nullptr) promote_next(*place);
    } else {
      dispatcher_.worker_joined(link);
    }
    place->changed.set();
  } else {
    dispatcher_.worker_joined(link);
  }
  progress_.notify_all();
  changed_();
}

void Supervisor::worker_has_room(WorkerChannel& link) {
  dispatcher_.worker_has_room(link);
  has_room_();
}

void Supervisor::worker_would_leave(WorkerChannel& link) {
  Member& member = member_of(link);
  if (member.is_leaving() || stopping()) return;
  if (member.joined) return drain(member, {.give_back = true});
  if (std::exchange(member.would_leave, true)) return;
  if (member.place != nullptr) reactor_.spawn(recycle(member.number, member.child.pid()));
}

void Supervisor::connection_returned(WorkerChannel& link, HeldConnection held) {
  try {
    dispatcher_.work_arrived(std::move(held));
  } catch (const std::exception& error) {
    if (stopping()) ++cut_off_.connections;
    report_lost_(fmt::format("cannot take back a connection from {}: {}; it is closed",
                             member_of(link).name(), error.what()));
  }
  // When all close what they have, the one that gets it now is the last: room or not.
  if (retirement_ == Retirement::closing) dispatcher_.flush_all();
}

void Supervisor::others_shall_accept(WorkerChannel& link) {
  dispatcher_.others_shall_accept(link);
}

void Supervisor::requests_told(WorkerChannel& link) {
  member_of(link).answers.answered();
  if (asked_.erase(&link) > 0 && asked_.empty()) progress_.notify_all();
}

void Supervisor::worker_closed(WorkerChannel& link, const std::string& problem) {
  Member& member = member_of(link);
  if (problem.empty() && serves_without_channel(member)) return;
  dispatcher_.worker_left(link);
  if (!problem.empty()) {
    if (member.joined) {
      report_joined_trouble_(fmt::format("{}: {}; sent away", member.name(), problem));
    } else {
      report_(Severity::error, fmt::format("{}: {}; killed", member.name(), problem));
    }
    return member.kill(LeaveReason::protocol_error);
  }
  if (member.joined) return member.wake.set();
  // Without a channel it can get nothing more, and has to end.
  if (member.due == kNever) member.limit(options_.drain_timeout);
}

void Supervisor::connections_lost(WorkerChannel& link, std::size_t count) {
  if (stopping()) cut_off_.connections += count;
  report_(Severity::error,
          fmt::format("cannot receive {} from {}: {}", counted(count, "connection"),
                      member_of(link).name(), error_text(EMFILE)));
}

void Supervisor::send_failed(WorkerChannel& link, std::size_t connections, int error) {
  if (stopping()) cut_off_.connections += connections;
  report_lost_(connections > 0 ? fmt::format("cannot pass {} to {}: {}; closed",
                                             counted(connections, "connection"),
                                             member_of(link).name(), error_text(error))
                               : fmt::format("cannot send to {}: {}; its channel is closed",
                                             member_of(link).name(), error_text(error)));
}

void Supervisor::assigned_changed(std::ptrdiff_t change) {
  held_ += static_cast<std::size_t>(change);
}

bool Supervisor::passes_on() const {
  if (retirement_ == Retirement::handing_over) return dispatcher_.has_takers();
  return retirement_ == Retirement::none;
}

}  // namespace handoff
