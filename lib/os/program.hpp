// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>
#include <vector>

#include "os/status.hpp"

namespace handoff {

/// Opens /dev/null in the place of each standard descriptor that is closed: otherwise the next
/// socket would take its number, and be written to as standard output. /dev/null is opened in the
/// wrong direction, so that using the descriptor still fails. Every program calls this first.
void fill_standard_descriptors();

/// What happens to a descendant of this process whose own parent has ended.
enum class Orphans {
  leave,
  adopt,  ///< it becomes a child of this process; see adopt_orphans()
};

/// Prepares this process to run until it is told to stop. SIGPIPE and SIGXFSZ are ignored, so that
/// a write that fails is an error and does not end the process; so is SIGTTOU, so that a line on a
/// terminal (`stty tostop`) does not stop a background job. The limit of descriptors is raised, and
/// orphans are adopted if `orphans` says so. Children that spawn() starts have the default
/// dispositions and the old limit. Call it before there are threads or children. Fails if orphans
/// should be adopted and that is refused; everything else is done then.
Status prepare_to_run_long(Orphans orphans);

/// Returns `signals`, which end a program, without SIGHUP if that was ignored when the program
/// started, as by nohup(1): a SignalMask would receive it all the same.
std::vector<int> ending_signals(std::initializer_list<int> signals);

/// Ends this process by SIGPIPE, as a program in a pipeline ends, if the reader of standard output
/// has gone: `error`, from a write to it, is EPIPE, and prepare_to_run_long() has ignored the
/// signal. Otherwise returns.
void end_if_reader_has_gone(int error);

}  // namespace handoff
