// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <variant>

#include "async/race.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "rpc/method_table.hpp"
#include "wire/request.hpp"

/// The one way from a request to its result. What leaves it is fit for a reply: a result and an
/// error's data are one JSON value each, and an exception has become an error.
namespace handoff {

/// A result that is valid until the next call of the same method, or an error.
using InstantResult = std::variant<std::string_view, Result>;

/// Runs a method that has an instant handler.
InstantResult run_instant(const Method& method, const Request& request);

/// Runs either kind of method on the reactor, which must outlive the task, as `method` must. A
/// handler under Supervision::server is ended at the call's deadline, and by `client_left` if that
/// is given.
Task<Result> run_method(Reactor& reactor, const Method& method, Call call,
                        Cancellation* client_left = nullptr);

/// The result of a call whose client has left, which nobody gets to see.
Result result_for_no_client();

}  // namespace handoff
