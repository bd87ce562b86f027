// SPDX-License-Identifier: MIT
#include "os/status.hpp"

#include <cassert>

#include "os/printable.hpp"

namespace handoff {

Status Status::failure(const std::string& why) {
  assert(!why.empty());
  Status status;
  status.why_ = printable(why);
  return status;
}

const std::string& Status::why() const {
  assert(!is_ok());
  return *why_;
}

}  // namespace handoff
