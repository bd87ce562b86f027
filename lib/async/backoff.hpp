// SPDX-License-Identifier: MIT
#pragma once

#include "async/clock.hpp"

namespace handoff {

/// Computes the pauses between attempts: the first one, then twice as long each time, up to the
/// last.
///
/// With 20 ms and 1 s these are 20, 40, 80, 160, 320, 640, 1000, 1000 ms and so on. The caller
/// waits.
class Backoff {
 public:
  /// `last` is not shorter than `first`.
  Backoff(Duration first, Duration last) : first_(first), last_(last) {}

  /// Returns the pause before the next attempt.
  Duration next();
  /// Begins with the first pause again, because an attempt has succeeded.
  void reset() { previous_ = Duration::zero(); }

 private:
  Duration first_;
  Duration last_;
  Duration previous_{};
};

}  // namespace handoff
