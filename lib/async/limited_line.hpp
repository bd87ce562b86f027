// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

#include "async/reactor.hpp"
#include "async/timer.hpp"
#include "os/line_limit.hpp"

namespace handoff {

/// Says lines of one kind, which a peer can cause as often as it likes, only as often as a
/// LineLimit allows. A line that is kept back is said when its interval is over, or when this
/// object is destroyed.
class LimitedLine final : private Timer {
 public:
  using Say = std::function<void(std::string_view)>;

  /// `say` is called with each line, on the reactor's thread, also by the destructor. `burst` lines
  /// per `interval` are said at once. The reactor must outlive this object.
  LimitedLine(Reactor& reactor, Say say, std::size_t burst = 1,
              Duration interval = std::chrono::seconds(1));
  LimitedLine(const LimitedLine&) = delete;
  LimitedLine& operator=(const LimitedLine&) = delete;
  ~LimitedLine();

  /// Says the line now or later, or counts it as left out.
  void operator()(std::string_view line);

 private:
  /// Says the line that was kept back.
  void on_timer() override;

  Say say_;
  LineLimit limit_;
};

}  // namespace handoff
