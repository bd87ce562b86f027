// SPDX-License-Identifier: MIT
#include "async/limited_line.hpp"

#include <utility>

namespace handoff {

LimitedLine::LimitedLine(Reactor& reactor, Say say, std::size_t burst, Duration interval)
    : Timer(reactor), say_(std::move(say)), limit_(burst, interval) {}

LimitedLine::~LimitedLine() {
  if (const auto line = limit_.take_rest()) { say_(*line); }
}

void LimitedLine::operator()(std::string_view line) {
  if (limit_.admits(line, Clock::now())) { return say_(line); }
  set(limit_.due());
}

void LimitedLine::on_timer() {
  if (const auto line = limit_.take_due(Clock::now())) { say_(*line); }
}

}  // namespace handoff
