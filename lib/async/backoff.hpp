// SPDX-License-Identifier: MIT
#pragma once

#include "async/clock.hpp"

namespace handoff {

/// The pauses between attempts: the first, then twice as long each time, up to the last.
class Backoff {
 public:
  Backoff(Duration first, Duration last) : first_(first), last_(last) {}

  /// The pause before the next attempt.
  Duration next();
  /// An attempt has succeeded: begins with the first pause again.
  void reset() { previous_ = Duration::zero(); }

 private:
  Duration first_;
  Duration last_;
  Duration previous_{};
};

}  // namespace handoff
