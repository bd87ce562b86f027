// SPDX-License-Identifier: MIT
#include "methods/service.hpp"

#include <algorithm>
#include <utility>

namespace handoff {

struct Service::Place {
  explicit Place(Service& of) : service(of), woken(of.reactor_) {
    service.waiting_.push_back(this);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    std::erase(service.waiting_, this);
    service.wake_first();  // there may be room for one more
  }

  bool is_first() const { return service.waiting_.front() == this; }

  Service& service;
  Event woken;
};

Service::Service(Reactor& reactor, ChildRunner& runner, std::string_view name, std::string command,
                 Limits limits)
    : Service(reactor, runner.options(), starting_shell(runner, name, std::move(command)), limits) {
  log_ = runner.log_of(name);
}

Service::Service(Reactor& reactor, const ProcessOptions& options, StartChild start, Limits limits)
    : reactor_(reactor), options_(options), start_(std::move(start)), limits_(limits) {}

Service::~Service() {
  for (const auto& process : std::exchange(processes_, {})) { process->abandon(); }
}

Task<Result> Service::call(Call call) {
  ServiceCall under_way(reactor_);
  {
    Place place(*this);
    const EventTimeout alarm(reactor_, place.woken, call.deadline);
    for (;;) {
      std::shared_ptr<ServiceProcess> process;
      if (place.is_first()) { process = find_process(); }
      if (process) {
        under_way.begin(std::move(process), call.method, call.params);
        break;
      }
      if (reactor_.now() >= call.deadline) {
        co_return Result::error(ErrorCode::timed_out, "no coprocess was free in time");
      }
      place.woken.clear();
      co_await place.woken;
    }
  }
  const EventTimeout alarm(reactor_, under_way.over, call.deadline);
  co_await under_way.over;
  Result result = under_way.take_result();
  co_return result;
}

std::shared_ptr<ServiceProcess> Service::find_process() {
  std::shared_ptr<ServiceProcess> best;
  for (const auto& process : std::vector(processes_)) {
    if (!process->takes_calls() || !process->check_usable()) { continue; }
    if (!best || process->calls() < best->calls()) { best = process; }
  }
  if (best && best->calls() == 0) { return best; }
  std::erase_if(processes_,
                [](const auto& process) { return process->phase() == ServicePhase::over; });
  const auto in_use = std::count_if(processes_.begin(), processes_.end(), [](const auto& process) {
    return process->phase() == ServicePhase::open;
  });
  if (static_cast<std::size_t>(in_use) < limits_.pool_size) { return start_process(); }
  return best;
}

std::shared_ptr<ServiceProcess> Service::start_process() {
  ServiceProcess::Options options;
  options.max_calls = limits_.max_calls;
  options.process = &options_;
  options.times = limits_.times;
  options.changed = [this] { wake_first(); };
  options.log = log_;
  std::shared_ptr<ServiceProcess> process =
      ServiceProcess::start(reactor_, start_, std::move(options));
  processes_.push_back(process);
  return process;
}

void Service::wake_first() {
  if (!waiting_.empty()) { waiting_.front()->woken.set(); }
}

}  // namespace handoff
