// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// The age of a connection that is to be deposited with the master, in periods of DepositTimer: it
/// is due once it has been open for a whole period.
class DepositAge {
 public:
  enum class Due : std::uint8_t {
    never,  ///< the connection is not to be deposited, or already was: it need not be asked again
    later,
    now,
  };

  /// Says that the connection is new, and is to be deposited.
  void begin() { age_ = Age::born; }
  /// Says that a period has passed. Returns whether the connection is to be deposited now; it does
  /// so once.
  Due grow() {
    switch (age_) {
      case Age::none: return Due::never;
      case Age::born: age_ = Age::seen; return Due::later;
      case Age::seen: break;
    }
    age_ = Age::none;
    return Due::now;
  }

 private:
  enum class Age : std::uint8_t {
    none,  ///< the connection is not to be deposited, or already was
    born,  ///< it was opened in the current period
    seen,  ///< it was there when the current period began
  };

  Age age_ = Age::none;
};

}  // namespace handoff
