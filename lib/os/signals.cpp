// SPDX-License-Identifier: MIT
#include "os/signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include "os/error.hpp"

namespace handoff {

SignalMask::SignalMask(const std::vector<int>& signals, Until until) : before_{}, until_(until) {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : signals) { sigaddset(&wanted, signal); }
  fd_ = Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_.valid()) { throw SystemError(errno, "use signalfd"); }
  pthread_sigmask(SIG_BLOCK, &wanted, &before_);
  // The parent may have ignored it: then children would vanish before they are reaped.
  std::signal(SIGCHLD, SIG_DFL);
}

SignalMask::~SignalMask() {
  if (until_ == Until::destroyed) { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
}

std::optional<int> SignalMask::try_read() const {
  const auto signal = try_receive();
  if (!signal) { return std::nullopt; }
  return signal->number;
}

std::optional<ReceivedSignal> SignalMask::try_receive() const {
  signalfd_siginfo info{};
  const auto size = retry([&] { return read(fd_.get(), &info, sizeof info); });
  if (size != static_cast<ssize_t>(sizeof info)) { return std::nullopt; }
  ReceivedSignal signal;
  signal.number = static_cast<int>(info.ssi_signo);
  if (info.ssi_code == SI_KERNEL) { signal.from = ReceivedSignal::From::kernel; }
  if (info.ssi_code == SI_USER || info.ssi_code == SI_TKILL || info.ssi_code == SI_QUEUE) {
    signal.sender = static_cast<pid_t>(info.ssi_pid);
  }
  return signal;
}

void end_by_signal(int signal) {
  std::signal(signal, SIG_DFL);  // the parent may have ignored it
  raise(signal);
}

}  // namespace handoff
