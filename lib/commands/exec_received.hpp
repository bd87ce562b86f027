// SPDX-License-Identifier: MIT
#pragma once

#include "cli/exit_status.hpp"
#include "commands/receive_options.hpp"
#include "os/spawn.hpp"
#include "pass/handover_receiver.hpp"

namespace handoff {

/// Returns how to start the command of `options` with the received descriptors; there is at least
/// one. `received` keeps owning them and must outlive the result. Opens nothing but /dev/null,
/// which it keeps open. Throws SystemError.
///
/// The command's environment is that of fdrecv without the variables that describe another
/// connection, and with those of UCSPI for the first descriptor; see connection_variables(). With
/// Placement::listen_fds it also has LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)).
SpawnOptions spawn_options(const ReceiveOptions& options, const Received& received);

/// Hands the descriptors on after everything else is done: replaces this process by the command of
/// `options` and does not return, or without a command copies the only descriptor to stdout, which
/// blocks until its end of file. Does nothing with `keep` or `json`. Throws SystemError.
ExitCode hand_on(const ReceiveOptions& options, const Received& received);

}  // namespace handoff
