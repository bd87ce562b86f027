// SPDX-License-Identifier: MIT
#include "methods/upstream_phase.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>

namespace handoff {
namespace {

TEST_CASE("each event brings a connection to an upstream server from each phase to the next") {
  using Event = UpstreamEvent;
  using Phase = UpstreamPhase;
  static constexpr std::array kEvents = {Event::connected, Event::silence, Event::refusal,
                                         Event::last_over, Event::ended};
  struct Row {
    Phase from;
    std::array<Phase, 5> to;
  };
  constexpr std::array kTable = {
      Row{Phase::connecting,
          {Phase::open, Phase::connecting_last, Phase::connecting, Phase::connecting,
           Phase::closed}},
      Row{Phase::connecting_last,
          {Phase::retired, Phase::connecting_last, Phase::connecting_last, Phase::closed,
           Phase::closed}},
      Row{Phase::open, {Phase::open, Phase::retired, Phase::retired, Phase::open, Phase::closed}},
      Row{Phase::retired,
          {Phase::retired, Phase::retired, Phase::retired, Phase::closed, Phase::closed}},
      Row{Phase::closed,
          {Phase::closed, Phase::closed, Phase::closed, Phase::closed, Phase::closed}}};
  for (const Row& row : kTable) {
    for (std::size_t i = 0; i < kEvents.size(); ++i) {
      CAPTURE(static_cast<int>(row.from));
      CAPTURE(i);
      CHECK(next_phase(row.from, kEvents[i]) == row.to[i]);
    }
  }
}

}  // namespace
}  // namespace handoff
