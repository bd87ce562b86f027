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

/// A handler answers a call in its own time. Other calls go on whenever it awaits; as long as it
/// does not, nothing else happens on its thread, and nothing can end it.
///
/// - All calls of one method table run on one thread, that of its reactor.
/// - The handler outlives its calls, and so does everything that it has captured.
/// - Under rpc-master(1) a handler that keeps its thread busy for as long as --hang-timeout (60s by
///   default) counts as hung, and its worker is killed, even if it computes something useful. Await
///   Reactor::yield() now and then, or compute on a thread of your own.
/// - An exception becomes the error -32603, and a result or `data` that is not JSON -32001.
/// - A call ends early at its `deadline` (error -32002), and when its client has left: the
///   connection was reset, or, for a Unix socket, closed at the other end. The coroutine is then
///   destroyed at the await where it is: its locals are destroyed, and nothing after that await
///   runs. Work that must be finished in any case belongs in a task of its own (Reactor::spawn)
///   that owns everything it uses.
/// - A client that has only ended its sending side has not left, nor has one that sent a
///   notification and wants no reply. A worker that takes requests from a queue is not told when a
///   client leaves.
using Handler = std::function<Task<Result>(Call)>;

/// An instant handler answers at once, without waiting for anything: it returns the result as JSON
/// text. The text may be the request's own params, so that nothing is copied; it must stay valid
/// until the next call of the handler. The rules above for exceptions and results apply here too.
using InstantHandler = std::function<std::string_view(const Request&)>;

/// Says who ensures that a call ends in time, and that its result is JSON.
enum class Supervision : std::uint8_t {
  server,   ///< the server, as described for Handler
  handler,  ///< the handler itself: it keeps the deadline, goes on when the client has left, and
            ///< returns nothing but valid JSON
};

/// An entry of a method table: a name, and exactly one of the three ways to answer.
struct Method {
  /// What a reply says in "out", as a JSON string; empty: the name in the call.
  std::string quoted_name;
  InstantHandler instant;  ///< answers at once; may be null
  Handler handler;         ///< answers in its own time; may be null
  Supervision supervision = Supervision::server;
  /// Begins calls and finishes them later; may be null; not owned.
  CallExecutor* executor = nullptr;
  /// The slot under which a server counts its calls; see MethodTable::assign_slots().
  mutable std::uint8_t slot = 0;
};

/// Returns what a reply to this method says in "out", as a JSON string: the method's name, or
/// "pong" for ping.
std::string quoted_reply_name(std::string_view method);

/// The methods of a server by name. Only one thread may use a table. A name that ends in ".*" is a
/// pattern, which stands for all names that begin with what is before the star, and "*" stands for
/// all names. A call goes to the method of exactly its name, or else to the longest pattern that
/// fits.
class MethodTable {
 public:
  MethodTable() = default;
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  /// These add a method. All three throw InvalidArgument if the table already has a method of this
  /// name.
  void add(std::string name, Handler handler, Supervision supervision = Supervision::server);
  void add_instant(std::string name, InstantHandler handler);
  /// The executor must outlive the table and all its calls.
  void add_executor(std::string name, CallExecutor& executor);

  /// Returns whether a method was added under this very name; patterns are not looked at.
  bool has(std::string_view name) const { return methods_.contains(name); }
  /// Returns the method for a call of this name, or nullptr if there is none. The pointer is valid
  /// as long as this object lives.
  const Method* find(std::string_view name) const {
    return last_ != nullptr && last_->first == name ? &last_->second : search(name);
  }
  /// Returns the names in alphabetical order, followed by the patterns.
  std::vector<std::string> names() const;
  /// Sets Method::slot of every method to what `slot_of` returns for its name, or its pattern.
  void assign_slots(const std::function<std::uint8_t(std::string_view name)>& slot_of) const;

 private:
  void insert(std::string name, Method method);
  const Method* search(std::string_view name) const;

  using Methods = std::map<std::string, Method, std::less<>>;
  Methods methods_;
  /// The method that was found last, which is most likely the next one too.
  mutable const Methods::value_type* last_ = nullptr;
  Methods patterns_;  ///< by the pattern without its star
};

}  // namespace handoff
