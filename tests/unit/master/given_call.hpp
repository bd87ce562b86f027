// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "master/queue_slots.hpp"
#include "rpc/pending_call.hpp"

namespace handoff {

/// A call with the slot of a queue, to be given to a QueueWorker. Nothing is expected to answer it.
class GivenCall final : public PendingCall {
 public:
  GivenCall(std::uint64_t ticket, std::string_view method, std::string_view params = "1")
      : method_(method), params_(params) {
    set_view({method_, params_, "", "", TimePoint{}});
    set_ticket(ticket);
    slot.call = this;
    slot.method = MethodTimes::index_of(method);
  }

  QueueSlot slot;

 private:
  void finish(const ResultView& /*result*/) override {}

  std::string method_;
  std::string params_;
};

}  // namespace handoff
