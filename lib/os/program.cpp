// SPDX-License-Identifier: MIT
#include "os/program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "os/descriptor_limit.hpp"
#include "os/fd.hpp"
#include "os/process_tree.hpp"
#include "os/signals.hpp"

namespace handoff {
namespace {

/// Says whether prepare_to_run_long() has ignored SIGPIPE: the program may have been started with
/// it ignored.
enum class PipeSignal { untouched, ignored_by_us };
PipeSignal pipe_signal = PipeSignal::untouched;

bool is_ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void fill_standard_descriptors() {
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (!is_open(number)) { open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY); }
  }
}

Status prepare_to_run_long(Orphans orphans) {
  if (!is_ignored(SIGPIPE)) { pipe_signal = PipeSignal::ignored_by_us; }
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGTTOU}) { std::signal(signal, SIG_IGN); }
  raise_descriptor_limit();
  return orphans == Orphans::leave ? Status::ok() : adopt_orphans();
}

std::vector<int> ending_signals(std::initializer_list<int> signals) {
  std::vector<int> ending(signals);
  if (is_ignored(SIGHUP)) { std::erase(ending, SIGHUP); }
  return ending;
}

void end_if_reader_has_gone(int error) {
  if (error == EPIPE && pipe_signal == PipeSignal::ignored_by_us) { end_by_signal(SIGPIPE); }
}

}  // namespace handoff
