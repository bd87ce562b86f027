// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace handoff {

/// How long a connection has been open that is to be deposited with the master: it is deposited
/// once it was there for a whole period of DepositTimer.
class DepositAge {
 public:
  enum class Due : std::uint8_t {
    never,  ///< it need not be asked again
    later,
    now,
  };

  /// It is new, and is to be deposited.
  void begin() { age_ = Age::born; }
  /// A period has passed.
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
    none,  ///< it is not to be deposited, or was
    born,  ///< since the last look
    seen,
  };

  Age age_ = Age::none;
};

}  // namespace handoff
