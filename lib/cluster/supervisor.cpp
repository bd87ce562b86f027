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
#include "rpc/command.hpp"

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

void Supervisor::add() {
  int number = 1;
  for (const Place& place : places_) number = std::max(number, place.number + 1);
  Place& place = places_.emplace_back(reactor_, number);
  reactor_.spawn(keep(place));
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

std::size_t Supervisor::ready_count() const {
  return static_cast<std::size_t>(
      std::count_if(places_.begin(), places_.end(),
                    [](const Place& place) { return place.state == Place::State::ready; }));
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
  place.limit.emplace(*place.exited, deadline_after(reactor_.now(), options_.ready_timeout));
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
  place.limit.reset();
  place.exited.reset();
  const ExitStatus status = place.child.reap();
  finish_orphans(Commands::mark_of(place.child.pid()),
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
  if (place.state == Place::State::starting) place.child.kill(SIGTERM);
  place.state = Place::State::draining;
  dispatcher_.worker_left(*place.link);
  place.link->drain();
  place.limit.emplace(*place.exited, deadline_after(reactor_.now(), options_.drain_timeout));
}

void Supervisor::kill(Place& place) {
  if (!place.link) return;
  place.limit.reset();
  place.killed = true;
  place.child.kill_group(SIGKILL);
}

void Supervisor::forget(const Place& place) {
  places_.remove_if([&](const Place& other) { return &other == &place; });
  changed_();
}

bool Supervisor::is_worker(pid_t pid) const {
  return std::any_of(places_.begin(), places_.end(),
                     [pid](const Place& place) { return place.link && place.child.pid() == pid; });
}

Supervisor::Place& Supervisor::place_of(const WorkerLink& link) {
  return *std::find_if(places_.begin(), places_.end(),
                       [&](const Place& place) { return place.link.get() == &link; });
}

std::string Supervisor::name(const Place& place) const {
  return place.link ? fmt::format("worker {}, pid {}", place.number, place.child.pid())
                    : fmt::format("worker {}", place.number);
}

void Supervisor::worker_ready(WorkerLink& link) {
  Place& place = place_of(link);
  if (place.state != Place::State::starting) return;
  place.state = Place::State::ready;
  place.limit.reset();
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
  // Without a channel it can get nothing more, and has to end.
  if (!place.limit) {
    place.limit.emplace(*place.exited, deadline_after(reactor_.now(), options_.drain_timeout));
  }
}

}  // namespace handoff
