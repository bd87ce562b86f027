// SPDX-License-Identifier: MIT
#include "cluster/supervisor.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <numeric>

#include "os/error.hpp"
#include "os/socket.hpp"
#include "rpc/processes.hpp"

namespace handoff {
namespace {

/// Where a spawned worker finds its channel.
constexpr int kChannelNumber = 3;

Child spawn_worker(const SupervisorOptions& options, int number, const Fd& channel) {
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing.valid()) throw SystemError(errno, "open", "/dev/null");
  SpawnOptions spawn_options;
  spawn_options.argv = options.command;
  spawn_options.environment = inherited_environment();
  spawn_options.environment.push_back(fmt::format("HANDOFF_CHANNEL_FD={}", kChannelNumber));
  spawn_options.environment.push_back(fmt::format("HANDOFF_WORKER={}", number));
  spawn_options.descriptors = {{nothing.get(), STDIN_FILENO},
                               {STDOUT_FILENO, STDOUT_FILENO},
                               {STDERR_FILENO, STDERR_FILENO},
                               {channel.get(), kChannelNumber}};
  return spawn(spawn_options);
}

std::string in_words(Duration duration) {
  return fmt::format("{}", std::chrono::duration_cast<std::chrono::milliseconds>(duration));
}

}  // namespace

Supervisor::Supervisor(Reactor& reactor, Dispatcher& dispatcher, SupervisorOptions options,
                       Report report, std::function<void()> changed)
    : reactor_(reactor),
      dispatcher_(dispatcher),
      options_(std::move(options)),
      report_(std::move(report)),
      changed_(std::move(changed)) {}

Supervisor::~Supervisor() = default;

Supervisor::Place& Supervisor::add_place() {
  int number = 1;
  for (const Place& place : places_) number = std::max(number, place.number + 1);
  return places_.emplace_back(reactor_, number);
}

void Supervisor::add() {
  reactor_.spawn(keep(add_place()));
}

void Supervisor::adopt(Fd channel) {
  const auto joined = std::count_if(places_.begin(), places_.end(),
                                    [](const Place& place) { return place.joined; });
  if (static_cast<std::size_t>(joined) >= kMaxJoined) {
    return report_(Severity::error, fmt::format("join: {} workers are the limit", kMaxJoined));
  }
  Place& place = add_place();
  place.joined = true;
  place.started = Clock::now();
  place.link = std::make_shared<WorkerLink>(reactor_, static_cast<WorkerLink::Owner&>(*this),
                                            options_.handshake, place.number, std::move(channel));
  limit(place, options_.ready_timeout);
  reactor_.spawn(host(place));
  place.link->start();
  if (options_.handshake == Handshake::none) worker_ready(*place.link);
}

/// From its joining on until it is gone.
Task<void> Supervisor::host(Place& place) {
  while (place.link->open() && !place.killed) {
    place.wake.clear();
    co_await place.wake;
    if (place.link->open() && reactor_.now() >= place.due) {
      report_(Severity::error, describe_overdue(place));
      place.killed = true;
    }
  }
  dispatcher_.worker_left(*place.link);
  report_(Severity::info, fmt::format("{}: left", name(place)));
  if (place.retired && place.killed) cut_off_.connections += place.link->held();
  place.link->end();
  place.link.reset();
  forget(place);
}

/// Of what it does now: starting, or draining.
void Supervisor::limit(Place& place, Duration duration) {
  place.due = deadline_after(reactor_.now(), duration);
  if (place.joined) {
    place.alarm.emplace(reactor_, place.wake, place.due);
  } else {
    place.limit.emplace(*place.exited, place.due);
  }
}

void Supervisor::unlimit(Place& place) {
  place.due = kNever;
  place.alarm.reset();
  place.limit.reset();
}

bool Supervisor::retire_one() {
  const auto serving = [](const Place& place) { return !place.retired; };
  if (std::count_if(places_.begin(), places_.end(), serving) < 2) return false;
  retire(*std::find_if(places_.rbegin(), places_.rend(), serving));
  return true;
}

void Supervisor::retire_all() {
  for (Place& place : places_) {
    if (!place.retired) retire(place);
  }
}

void Supervisor::kill_all() {
  retire_all();
  for (Place& place : places_) kill(place);
}

bool Supervisor::all_started() const {
  return std::all_of(places_.begin(), places_.end(), [](const Place& place) {
    return place.joined || place.state == Place::State::ready;
  });
}

std::size_t Supervisor::held() const {
  return std::accumulate(places_.begin(), places_.end(), std::size_t{0},
                         [](std::size_t sum, const Place& place) {
                           return sum + (place.link ? place.link->held() : 0);
                         });
}

std::vector<std::string> Supervisor::describe() const {
  static constexpr const char* kStates[] = {"starting", "ready", "draining", "pausing"};
  std::vector<std::string> lines;
  for (const Place& place : places_) {
    lines.push_back(fmt::format("{}: {}, {}, {}", name(place),
                                kStates[static_cast<int>(place.state)],
                                counted(place.link ? place.link->held() : 0, "connection"),
                                counted(place.restarts, "restart")));
  }
  return lines;
}

Task<void> Supervisor::keep(Place& place) {
  for (;;) {
    bool was_ready = false;
    if (!place.retired && start(place)) {
      const std::string who = name(place);
      const ExitStatus status = co_await wait_for_exit(place);
      was_ready = place.state == Place::State::ready;
      if (place.retired) {
        report_(Severity::detail, fmt::format("{}: left, {}", who, status.text()));
      } else {
        report_(Severity::error, fmt::format("{}: {}{}", who, status.text(),
                                             was_ready ? "" : ", before it was ready"));
      }
    }
    if (place.retired) break;
    const Duration pause = pause_after_death(place, was_ready);
    place.state = Place::State::pausing;
    changed_();
    if (pause > Duration::zero()) {
      report_(Severity::info,
              fmt::format("worker {}: started again in {}", place.number, in_words(pause)));
      Alarm alarm(reactor_, place.wake, reactor_.now() + pause);
      co_await place.wake;
      if (place.retired) break;
      place.wake.clear();
    } else {
      co_await reactor_.yield();
    }
    ++place.restarts;
  }
  forget(place);
}

/// False when the program can't be executed, which is an error of the command line when it never
/// could.
bool Supervisor::start(Place& place) {
  const int type = options_.handshake == Handshake::full ? SOCK_SEQPACKET : SOCK_STREAM;
  Fd ours;
  place.state = Place::State::starting;
  place.killed = false;
  place.started = Clock::now();
  try {
    auto [channel, theirs] = make_socket_pair(type);
    place.child = spawn_worker(options_, place.number, theirs);
    ours = std::move(channel);
  } catch (const SystemError& error) {
    if (!any_started_) throw;
    report_(Severity::error, error.what());
    return false;
  }
  any_started_ = true;
  place.link = std::make_shared<WorkerLink>(reactor_, static_cast<WorkerLink::Owner&>(*this),
                                            options_.handshake, place.number, std::move(ours));
  place.exited.emplace(reactor_, place.child.pidfd());
  limit(place, options_.ready_timeout);
  place.link->start();
  report_(Severity::detail, fmt::format("{}: started", name(place)));
  if (options_.handshake == Handshake::none) worker_ready(*place.link);
  return true;
}

Task<ExitStatus> Supervisor::wait_for_exit(Place& place) {
  while (!co_await place.exited->readable()) {
    report_(Severity::error, describe_overdue(place));
    kill(place);
  }
  place.link->receive_rest();
  dispatcher_.worker_left(*place.link);
  unlimit(place);
  place.exited.reset();
  const ExitStatus status = place.child.reap();
  finish_orphans(Processes::mark_of(place.child.pid()),
                 [this](pid_t pid) { return is_worker(pid); });
  if (place.retired && !status.success()) {
    cut_off_.connections += place.link->held();
    if (place.killed) ++cut_off_.workers;
  }
  place.link.reset();
  co_return status;
}

std::string Supervisor::describe_overdue(const Place& place) const {
  if (place.state == Place::State::starting) {
    return fmt::format("{}: not ready within {}, killed", name(place),
                       in_words(options_.ready_timeout));
  }
  const std::string held = options_.handshake == Handshake::none
                               ? ""
                               : " with " + counted(place.link->held(), "connection");
  return fmt::format("{}: still there after {}, killed{}", name(place),
                     in_words(options_.drain_timeout), held);
}

/// None after a worker that had served well; else longer each time.
Duration Supervisor::pause_after_death(Place& place, bool was_ready) const {
  if (was_ready && Clock::now() - place.started >= options_.backoff_max) {
    place.restarted_at_once = false;
  }
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

void Supervisor::retire(Place& place) {
  place.retired = true;
  if (!place.link) return place.wake.set();
  if (place.state == Place::State::starting && !place.joined) place.child.kill(SIGTERM);
  place.state = Place::State::draining;
  dispatcher_.worker_left(*place.link);
  place.link->drain();
  limit(place, options_.drain_timeout);
}

void Supervisor::kill(Place& place) {
  if (!place.link) return;
  unlimit(place);
  place.killed = true;
  if (place.joined) return place.wake.set();
  place.child.kill_group(SIGKILL);
}

void Supervisor::forget(const Place& place) {
  places_.remove_if([&](const Place& other) { return &other == &place; });
  changed_();
}

bool Supervisor::is_worker(pid_t pid) const {
  return std::any_of(places_.begin(), places_.end(), [pid](const Place& place) {
    return place.link && !place.joined && place.child.pid() == pid;
  });
}

Supervisor::Place& Supervisor::place_of(const WorkerLink& link) {
  return *std::find_if(places_.begin(), places_.end(),
                       [&](const Place& place) { return place.link.get() == &link; });
}

std::string Supervisor::name(const Place& place) const {
  const pid_t pid = place.joined ? place.link->pid() : place.child.pid();
  if (!place.link || pid <= 0) return fmt::format("worker {}", place.number);
  return fmt::format("worker {}, pid {}", place.number, pid);
}

void Supervisor::worker_ready(WorkerLink& link) {
  Place& place = place_of(link);
  if (place.state != Place::State::starting) return;
  place.state = Place::State::ready;
  unlimit(place);
  dispatcher_.worker_joined(link);
  report_(Severity::detail, fmt::format("{}: ready", name(place)));
  changed_();
}

void Supervisor::worker_has_room(WorkerLink&) {
  dispatcher_.flush();
  changed_();
}

void Supervisor::worker_closed(WorkerLink& link, const std::string& problem) {
  Place& place = place_of(link);
  dispatcher_.worker_left(link);
  if (!problem.empty()) {
    report_(Severity::error, fmt::format("{}: {}; killed", name(place), problem));
    return kill(place);
  }
  if (place.joined) return place.wake.set();
  // Without a channel it can get nothing more, and has to end.
  if (!place.limit) limit(place, options_.drain_timeout);
}

}  // namespace handoff
