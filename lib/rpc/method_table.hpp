// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/task.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

namespace handoff {

class CallExecutor;

/// A handler answers a call, in its own time. Other calls go on whenever it awaits; while it does
/// not, nothing else happens on its thread, and nothing can end it.
///
/// - All calls that a table of methods gets run on one thread, that of its reactor.
/// - The handler outlives its calls, and so does what it has captured.
/// - Under rpc-master(1) a handler that keeps its thread for as long as --hang-timeout (60s by
///   default) counts as hung, however well it computes: its worker is killed. Await
///   Reactor::yield() now and then, or compute on a thread of your own.
/// - An exception becomes the error -32603, and a result or `data` that is not JSON -32001.
/// - A call ends early at its `deadline` (-32002), and when its client has left: the connection is
///   reset, or a Unix socket closed at the other end. The coroutine is then destroyed at the await
///   where it is: its locals are destroyed, and nothing after that await runs. Work that must be
///   done all the same belongs into a task of its own (Reactor::spawn) that owns all that it uses.
/// - A client that has only ended its sending side has not left, nor has one that sent a
///   notification and wants no reply. A worker with a queue is not told that a client has left.
using Handler = std::function<Task<Result>(Call)>;

/// An instant handler answers at once, without waiting for anything: it returns the result, as JSON
/// text. That may be the request's own params, so that nothing is copied; it must stay valid until
/// the next call of the handler. The rules above for exceptions and for results hold here too.
using InstantHandler = std::function<std::string_view(const Request&)>;

/// Says who sees to it that a call ends in time, and that its result is JSON.
enum class Supervision : std::uint8_t {
  server,   ///< the server, as described at Handler
  handler,  ///< the handler: it keeps the deadline, goes on when the client has left, and gives
            ///< nothing but valid JSON
};

/// An entry of a table: a name, and one of the three ways to answer.
struct Method {
  std::string quoted_name;  ///< what a reply's "out" says, as a JSON string; empty: the call's name
  InstantHandler instant;   ///< either this
  Handler handler;          ///< or that
  Supervision supervision = Supervision::server;
  CallExecutor* executor = nullptr;  ///< or this
  mutable std::uint8_t slot = 0;     ///< where a server counts its calls; see assign_slots()
};

/// Returns what a reply to this method says in "out", as a JSON string.
std::string quoted_reply_name(std::string_view method);

/// The methods of a server by name, for one thread. A name that ends in ".*" stands for all that
/// begin with what is before the star, and "*" for all; the longest that fits counts.
class MethodTable {
 public:
  MethodTable() = default;
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  /// Adds a method. All three throw InvalidArgument when there is a method of this name already.
  void add(std::string name, Handler handler, Supervision supervision = Supervision::server);
  void add_instant(std::string name, InstantHandler handler);
  /// The executor must outlive the table, and its calls.
  void add_executor(std::string name, CallExecutor& executor);

  /// Returns whether a method was added under this name; patterns are not looked at.
  bool has(std::string_view name) const { return methods_.contains(name); }
  /// Returns the method that a call of this name is for, or nullptr when there is none. It is valid
  /// for as long as this object lives.
  const Method* find(std::string_view name) const {
    return last_ != nullptr && last_->first == name ? &last_->second : search(name);
  }
  /// Returns the names in alphabetical order, and after them the patterns.
  std::vector<std::string> names() const;
  /// Sets Method::slot of every method to what `slot_of` returns for its name, or its pattern.
  void assign_slots(const std::function<std::uint8_t(std::string_view name)>& slot_of) const;

 private:
  void insert(std::string name, Method method);
  const Method* search(std::string_view name) const;

  using Methods = std::map<std::string, Method, std::less<>>;
  Methods methods_;
  mutable const Methods::value_type* last_ = nullptr;  ///< that was found: most likely the next
  Methods patterns_;                                   ///< without their star
};

}  // namespace handoff
