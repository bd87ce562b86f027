// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include <handoff/async/clock.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {

/// Logs calls, a line each: the method, the client, how the call ended, and how long it took. All
/// reactors of a process share one, and each calls it on its own thread.
class CallLog {
 public:
  /// Which calls are logged.
  enum class Calls : std::uint8_t { all, failed };
  using Say = std::function<void(std::string_view line)>;

  /// The most bytes of a method's name, and of a client's, that a line has.
  static constexpr std::size_t kMostOfName = 108;

  /// `say` is called with each line, on any thread.
  CallLog(Calls which, Say say) : which_(which), say_(std::move(say)) {}
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  /// A call that began at `begun` has ended with this code, 0 for a result.
  void ended(std::string_view method, std::string_view peer, ErrorCode code, TimePoint begun) const;
  /// A call was cut off: it gets no reply.
  void cut_off(std::string_view method, std::string_view peer, TimePoint begun) const;
  /// What a client has sent is no request, and was answered with this error.
  void refused(std::string_view peer, ErrorCode code) const;

 private:
  void say(std::string_view method, std::string_view peer, std::string_view how,
           TimePoint begun) const;

  Calls which_;
  Say say_;
};

}  // namespace handoff
