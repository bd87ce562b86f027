// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <handoff/async/reactor.hpp>

#include "async/limited_line.hpp"

namespace handoff {

/// Logs what the processes behind methods write to their stderr, a line as "method NAME: TEXT". Of
/// each method it says at most kBurst lines a second; how many it has left out is said later. For
/// one thread.
class MethodLog {
 public:
  static constexpr std::size_t kBurst = 100;

  /// `say` is called with each line, also by the destructor. The reactor must outlive this object.
  MethodLog(Reactor& reactor, LimitedLine::Say say) : reactor_(reactor), say_(std::move(say)) {}
  MethodLog(const MethodLog&) = delete;
  MethodLog& operator=(const MethodLog&) = delete;

  /// `method` is a name that the command line or a directory gives, not one that a client has
  /// invented: a limit is kept for each as long as this object lives.
  void write(std::string_view method, std::string_view line);

 private:
  Reactor& reactor_;
  LimitedLine::Say say_;
  std::map<std::string, LimitedLine, std::less<>> methods_;
};

}  // namespace handoff
