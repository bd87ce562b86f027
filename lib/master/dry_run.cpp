// SPDX-License-Identifier: MIT
#include "master/dry_run.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <string_view>

#include <handoff/os/error.hpp>

#include "master/pidfile.hpp"
#include "master/server_sockets.hpp"
#include "os/log.hpp"
#include "os/program_path.hpp"

namespace handoff {
namespace {

void check_pidfile(const std::string& path, DryRun& run) {
  if (path.empty()) { return; }
  try {
    Pidfile(path).check();
  } catch (const SystemError& error) {
    if (error.error_number() != EBUSY) { throw; }
    run.in_use.push_back(fmt::format("the pidfile {} is that of a process that runs", path));
  }
}

/// Returns where the server would listen.
std::string check_sockets(const MasterOptions& options, DryRun& run) {
  const ServerSocketsCheck sockets = check_server_sockets(options);
  std::string places;
  const auto add = [&](const ListenCheck& place, std::string_view before, std::string_view after) {
    places += fmt::format("{}{}{}", before, place.text, after);
    if (place.is_in_use) { run.in_use.push_back(fmt::format("{} is in use", place.text)); }
  };
  for (const ListenCheck& listener : sockets.listeners) {
    add(listener, places.empty() ? "" : " ", "");
  }
  if (sockets.join) { add(*sockets.join, " (workers would join at ", ")"); }
  if (sockets.control) { add(*sockets.control, " (control at ", ")"); }
  return places;
}

}  // namespace

DryRun dry_run(const MasterOptions& options) {
  DryRun run;
  const SupervisorOptions& supervisor = options.supervisor;
  if (options.pass == Pass::queue) {
    ClientSessions::Options queue = options.queue;
    queue.workers = static_cast<std::size_t>(options.workers);
    ClientSessions::check(queue);
  }
  check_pidfile(options.pidfile, run);
  const std::string places = check_sockets(options, run);
  std::string command;
  if (options.workers > 0) {
    (void)find_program(supervisor.command.front());
    command = fmt::format(": {}", fmt::join(supervisor.command, " "));
  }
  run.summary = fmt::format("would listen on {} with {}{}", places,
                            counted(static_cast<std::size_t>(options.workers), "worker"), command);
  return run;
}

}  // namespace handoff
