// SPDX-License-Identifier: MIT
#include "methods/upstream_phase.hpp"

namespace handoff {

//                     connected   silence           refusal   last_over   ended
//   connecting        open        connecting_last   -         -           closed
//   connecting_last   retired     -                 -         closed      closed
//   open              -           retired           retired   -           closed
//   retired           -           -                 -         closed      closed
//   closed            -           -                 -         -           -
UpstreamPhase next_phase(UpstreamPhase phase, UpstreamEvent event) {
  using Phase = UpstreamPhase;
  switch (event) {
    case UpstreamEvent::connected:
      if (phase == Phase::connecting) { return Phase::open; }
      return phase == Phase::connecting_last ? Phase::retired : phase;
    case UpstreamEvent::silence:
      if (phase == Phase::connecting) { return Phase::connecting_last; }
      return phase == Phase::open ? Phase::retired : phase;
    case UpstreamEvent::refusal: return phase == Phase::open ? Phase::retired : phase;
    case UpstreamEvent::last_over:
      return phase == Phase::connecting_last || phase == Phase::retired ? Phase::closed : phase;
    case UpstreamEvent::ended: return Phase::closed;
  }
  return phase;
}

}  // namespace handoff
