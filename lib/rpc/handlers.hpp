// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "wire/message.hpp"

namespace handoff {

/// A call as a handler gets it.
struct Call {
  std::string method;
  std::string params;  ///< validated JSON
  std::string id;      ///< validated JSON, empty when the caller gave none
  std::string peer;    ///< the client's address as text
  TimePoint deadline = kNever;
};

/// What a handler gives: a result, or an error.
struct Result {
  std::string json;  ///< validated JSON: the result, or an error's `data` (may be empty)
  ErrorCode code{};  ///< 0 for a result
  std::string message;

  static Result success(std::string json) { return {std::move(json), ErrorCode{}, {}}; }
  static Result error(ErrorCode code, std::string message, std::string data = {}) {
    return {std::move(data), code, std::move(message)};
  }
  bool is_error() const { return code != ErrorCode{}; }
};

/// Answers a call, in its own time. Other calls go on whenever it awaits. An exception becomes an
/// internal error.
using Handler = std::function<Task<Result>(Call)>;

/// Answers at once, without waiting for anything: gives the result, which may be the request's own
/// params, so that nothing is copied.
using InstantHandler = std::function<std::string_view(const Request&)>;

struct Method {
  std::string quoted_name;  ///< what a reply's "out" says, as a JSON string; empty: the call's name
  InstantHandler instant;   ///< either this
  Handler handler;          ///< or that
};

/// What a reply to this method says in "out", as a JSON string.
std::string quoted_reply_name(std::string_view method);

/// What is said of a name that no method has.
std::string no_such_method(std::string_view name);

/// Runs either kind of method.
Task<Result> run_method(const Method& method, Call call);

/// The methods of a server by name, for one thread. A name that ends in ".*" stands for all that
/// begin with what is before the star, and "*" for all; the longest that fits counts.
class Handlers {
 public:
  Handlers() = default;
  Handlers(const Handlers&) = delete;
  Handlers& operator=(const Handlers&) = delete;

  /// Throws InvalidArgument when there is a method of this name already.
  void add(std::string name, Handler handler);
  void add_instant(std::string name, InstantHandler handler);

  bool has(std::string_view name) const { return methods_.contains(name); }
  /// nullptr when there is no such method. Valid for as long as this object lives.
  const Method* find(std::string_view name) const;
  std::vector<std::string> names() const;

 private:
  void insert(std::string name, Method method);

  using Methods = std::map<std::string, Method, std::less<>>;
  Methods methods_;
  mutable const Methods::value_type* last_ = nullptr;  ///< that was found: most likely the next
  Methods patterns_;                                   ///< without their star
};

/// ping (answered as "pong"), echo, methods and info, unless there is one of that name already.
/// `worker` is the worker's number in `info`, 0 for a server without a master. Add them last.
void add_built_in_methods(Handlers& handlers, int worker);

}  // namespace handoff
