// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "async/reactor.hpp"
#include "async/timer.hpp"
#include "os/line_limit.hpp"

namespace handoff {

/// One kind of line that a peer can cause as often as it likes, said as a LineLimit allows, a
/// second its interval. What is kept is said when it is due, and the rest when this is destroyed.
class LimitedLine final : private Timer {
 public:
  using Say = std::function<void(std::string_view)>;

  LimitedLine(Reactor& reactor, Say say, std::size_t burst = 1);
  LimitedLine(const LimitedLine&) = delete;
  LimitedLine& operator=(const LimitedLine&) = delete;
  ~LimitedLine();

  void operator()(std::string_view line);

 private:
  void on_timer() override;

  Say say_;
  LineLimit limit_;
};

}  // namespace handoff
