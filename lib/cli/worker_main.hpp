// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>

namespace handoff {

/// A function of yours that adds methods to a table of a worker.
///
/// It is called once for each of the worker's threads (`--threads N`: N times), on that thread and
/// with that thread's reactor, and again for each when the methods are made anew (HUP with `-d`).
/// Two calls of it never overlap. So an object that it makes exists in N copies, one a thread: used
/// by the calls of one thread only, it needs no lock, but no call sees more than one copy, and a
/// HUP starts new ones while calls that run keep the old. State that the whole worker shares must
/// exist outside of it: capture a reference to it, and guard it (std::atomic, std::mutex), because
/// the handlers of different threads run at the same time. Never keep another thread's reactor, or
/// anything that was made with it; Mailbox leads from one thread to another.
///
/// A connection's calls run on the connection's thread. With a queue each call goes to the next
/// thread, but the first thread answers at once what was added by MethodTable::add_instant.
using AddMethods = std::function<void(MethodTable& table, Reactor& reactor)>;

/// The main function of a worker: it is rpc-worker(1), with all of its options, environment
/// variables, signals and exit statuses, and has the methods of `add_own` besides. It blocks until
/// the worker ends, and returns the exit status. It writes its log to standard error, as a line a
/// message that begins with `name`, and throws nothing. Call it once, from main(), before the
/// program starts threads of its own: it blocks the signals that it waits for, and new threads
/// inherit that.
int worker_main(const char* name, int argc, char** argv, const AddMethods& add_own);

}  // namespace handoff
