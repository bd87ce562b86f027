// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>
#include <vector>

#include "os/status.hpp"

namespace handoff {

/// Opens /dev/null in the place of each standard descriptor that is closed: the next socket would
/// take its number, and be written to as standard output. Those are open the wrong way round, so
/// that using them still fails. Every program calls this first.
void fill_standard_descriptors();

/// What becomes of processes whose parent, a descendant of ours, has ended.
enum class Orphans {
  leave,
  adopt,  ///< they become our children; see adopt_orphans()
};

/// Prepares this process to run until it is told to stop, whatever becomes of what it writes to:
/// SIGPIPE and SIGXFSZ are ignored, so that a write that fails is an error and no end, and SIGTTOU,
/// so that a line on a terminal (`stty tostop`) does not stop a background job; the limit of
/// descriptors is raised; and orphans are adopted if that is wanted. Children that spawn() starts
/// have the defaults and the old limit. Call it before there are threads or children. Fails if
/// orphans should be adopted and that is refused; all else is done then.
Status prepare_to_run_long(Orphans orphans);

/// `signals`, which end a program, without SIGHUP if that was ignored when it started, as nohup(1)
/// has it: a SignalMask would receive it all the same.
std::vector<int> ending_signals(std::initializer_list<int> signals);

/// Ends this process by SIGPIPE if `error`, which a write to standard output gave, says that the
/// reader has gone, and prepare_to_run_long() has ignored that signal: so ends a program in a
/// pipeline. Otherwise returns.
void end_if_reader_has_gone(int error);

}  // namespace handoff
