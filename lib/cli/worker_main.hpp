// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>

namespace handoff {

/// A function of the program's that adds methods to the table of one of a worker's threads.
///
/// It is called once for each of the worker's threads (`--threads N`: N times), on that thread and
/// with that thread's reactor, and again for each thread when the methods are made anew (SIGHUP
/// with `-d`). Two calls of it never overlap.
///
/// An object that it makes exists once per thread. Only the calls of that thread use the object,
/// which needs no lock, but no call sees more than one of these objects; after a SIGHUP there are
/// new ones, while calls that still run keep the old. State that the whole worker shares must exist
/// outside of this function: capture a reference to it, and guard it (std::atomic, std::mutex),
/// because handlers of different threads run at the same time. Never keep another thread's reactor,
/// or anything that was made with it; a Mailbox leads from one thread to another.
///
/// A connection's calls run on the connection's thread. In a worker with a queue, each call goes to
/// the next thread, except that the first thread answers at once the methods that
/// MethodTable::add_instant() has added.
using AddMethods = std::function<void(MethodTable& table, Reactor& reactor)>;

/// The main function of a worker: it does everything that rpc-worker(1) does, with the same
/// options, environment variables, signals and exit statuses, and also has the methods of
/// `add_own`. It blocks until the worker ends, and returns the exit status. It logs to standard
/// error, one line per message, each of which begins with `name`, and throws nothing. Call it once,
/// from main(), before the program starts threads of its own: it blocks the signals that it waits
/// for, and new threads inherit that.
int worker_main(const char* name, int argc, char** argv, const AddMethods& add_own);

}  // namespace handoff
