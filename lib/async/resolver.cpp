// SPDX-License-Identifier: MIT
#include "async/resolver.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <csignal>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

namespace handoff {
namespace {

/// Blocks all signals while a thread is started, so that the new thread inherits a full mask:
/// signals go to the threads that wait for them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

HostLookup failed(std::string reason) {
  return {{}, ConnectFailure{0, std::move(reason), Outlook::may_change}};
}

HostLookup call(const Resolver::LookUp& look_up, const std::string& host) {
  try {
    return look_up(host);
  } catch (const std::exception& error) { return failed(error.what()); }
}

}  // namespace

/// The lookup of one name. Its thread and its waiters own it together.
class Resolver::Job {
 public:
  /// Wakes a reactor through its eventfd.
  using WakeFd = std::shared_ptr<Fd>;

  void add(const WakeFd& wake_fd) {
    const std::lock_guard lock(mutex_);
    wake_fds_.push_back(wake_fd);
    if (result_) { eventfd_write(wake_fd->get(), 1); }
  }
  void remove(const WakeFd& wake_fd) {
    const std::lock_guard lock(mutex_);
    std::erase(wake_fds_, wake_fd);
  }
  void finish(HostLookup result) {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
    for (const WakeFd& wake_fd : wake_fds_) { eventfd_write(wake_fd->get(), 1); }
  }
  std::optional<HostLookup> result() const {
    const std::lock_guard lock(mutex_);
    return result_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<WakeFd> wake_fds_;
  std::optional<HostLookup> result_;
};

/// The lookups under way, by name. The resolver and the threads of its lookups own it together.
struct Resolver::Jobs {
  explicit Jobs(LookUp function) : look_up(std::move(function)) {}

  const LookUp look_up;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Job>> by_host;
};

Resolver::Resolver(LookUp look_up) : jobs_(std::make_shared<Jobs>(std::move(look_up))) {}

/// The object is never destroyed, because a lookup may still be under way when the process exits.
Resolver& Resolver::system() {
  static Resolver& resolver = *new Resolver(look_up_host);
  return resolver;
}

std::shared_ptr<Resolver::Job> Resolver::job_for(const std::string& host) {
  const std::lock_guard lock(jobs_->mutex);
  const auto [place, is_new] = jobs_->by_host.try_emplace(host);
  if (!is_new) { return place->second; }
  auto job = place->second = std::make_shared<Job>();
  const auto run = [jobs = jobs_, job, host] {
    HostLookup result = call(jobs->look_up, host);
    {
      const std::lock_guard inner_lock(jobs->mutex);
      jobs->by_host.erase(host);
    }
    job->finish(std::move(result));
  };
  try {
    const SignalsBlocked blocked;
    std::thread(run).detach();
  } catch (const std::system_error& error) {
    jobs_->by_host.erase(host);
    job->finish(failed(fmt::format("cannot start a thread to look up {}: {}", host,
                                   error_text(error.code().value()))));
  }
  return job;
}

// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::optional<HostLookup>> Resolver::look_up(Reactor& reactor, std::string host,
                                                  TimePoint deadline) {
  const Job::WakeFd wake_fd = std::make_shared<Fd>(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd->valid()) { throw SystemError(errno, "use eventfd"); }
  // The functions of a class in a coroutine are none themselves.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  struct Waiting {
    std::shared_ptr<Job> job;
    Job::WakeFd wake_fd;
    ~Waiting() { job->remove(wake_fd); }
  };
  const Waiting waiting{job_for(host), wake_fd};
  waiting.job->add(wake_fd);
  FdWatcher watcher(reactor, wake_fd->get());
  const WaitTimeout limit(watcher, deadline);
  std::optional<HostLookup> result = waiting.job->result();
  while (!result && !limit.passed()) {
    co_await watcher.readable();
    result = waiting.job->result();
  }
  co_return result;
}

}  // namespace handoff
