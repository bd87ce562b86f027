// SPDX-License-Identifier: MIT
#pragma once

#include "cli/exit_status.hpp"
#include "commands/receive_options.hpp"
#include "os/spawn.hpp"
#include "pass/handover_receiver.hpp"

namespace handoff {

/// How the command of `options` gets what was received. Opens nothing but /dev/null; `received`
/// must outlive the result.
SpawnOptions spawn_options(const ReceiveOptions& options, const Received& received);

/// Becomes the command of `options`, or copies the only descriptor to stdout. Nothing is left to do
/// when what came was printed.
ExitCode hand_on(const ReceiveOptions& options, const Received& received);

}  // namespace handoff
