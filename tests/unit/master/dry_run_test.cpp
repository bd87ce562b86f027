// SPDX-License-Identifier: MIT
#include "master/dry_run.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <handoff/os/error.hpp>

#include "master/pidfile.hpp"
#include "os/listener.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// The options of a server whose files are in `directory`.
MasterOptions options_in(const test::TemporaryDirectory& directory) {
  MasterOptions options;
  options.listen = {Address::parse(directory.path("s"))};
  options.control = Address::parse(directory.path("c"));
  options.pidfile = directory.path("pid");
  options.workers = 2;
  options.supervisor.command = {"sh", "-c", "exit"};
  return options;
}

TEST_CASE(
    "a dry run tells where a server would listen and what it would start, and makes no file") {
  const test::TemporaryDirectory directory;
  const DryRun run = dry_run(options_in(directory));
  CHECK(run.in_use.empty());
  CHECK(run.summary == fmt::format("would listen on {} (control at {}) with 2 workers: sh -c exit",
                                   directory.path("s"), directory.path("c")));
  CHECK(directory.entries() == 0);
}

TEST_CASE("what a server has that runs is told by a dry run, and is no failure") {
  const test::TemporaryDirectory directory;
  const MasterOptions options = options_in(directory);
  const Listener listener = listen_on(options.listen.front());
  Pidfile pidfile(options.pidfile);
  pidfile.write();
  const DryRun run = dry_run(options);
  REQUIRE(run.in_use.size() == 2);
  CHECK(run.in_use[0] == "the pidfile " + options.pidfile + " is that of a process that runs");
  CHECK(run.in_use[1] == directory.path("s") + " is in use");
}

TEST_CASE("a dry run looks for the command only if workers would be started") {
  const test::TemporaryDirectory directory;
  MasterOptions options = options_in(directory);
  options.supervisor.command = {directory.path("none")};
  CHECK_THROWS_AS(dry_run(options), SystemError);
  options.supervisor.command.clear();
  options.workers = 0;
  CHECK(dry_run(options).summary.ends_with("with 0 workers"));
}

TEST_CASE("a dry run fails if the limits leave no room for a queue") {
  const test::TemporaryDirectory directory;
  MasterOptions options = options_in(directory);
  options.pass = Pass::queue;
  CHECK_NOTHROW(dry_run(options));
  options.workers = 100'000'000;
  CHECK_THROWS_AS(dry_run(options), InvalidArgument);
}

}  // namespace
}  // namespace handoff
