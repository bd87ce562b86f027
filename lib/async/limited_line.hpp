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

/// One kind of line that a peer can cause as often as it likes, said as a LineLimit of this
/// interval allows. What is kept is said when it is due, and the rest when this is destroyed.
class LimitedLine final : private Timer {
 public:
  using Say = std::function<void(std::string_view)>;

  LimitedLine(Reactor& reactor, Say say, std::size_t burst = 1,
              Duration interval = std::chrono::seconds(1));
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
