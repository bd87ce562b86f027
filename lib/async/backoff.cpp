// SPDX-License-Identifier: MIT
#include "async/backoff.hpp"

#include <algorithm>

namespace handoff {

Duration Backoff::next() {
  previous_ = std::clamp(previous_ * 2, first_, last_);
  return previous_;
}

}  // namespace handoff
