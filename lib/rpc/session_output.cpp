// SPDX-License-Identifier: MIT
#include "rpc/session_output.hpp"

namespace handoff {
namespace {

/// The number of bytes that is allocated at once for the deferred replies of a turn; most turns
/// have no more.
constexpr std::size_t kUsualTurn = 512;

}  // namespace

SessionOutput::Written SessionOutput::send(Stream& stream, std::string_view bytes) {
  if (bytes.empty()) { return Written::whole; }
  if (!unsent_) {
    const IoResult result = stream.try_write(bytes);
    if (result.outcome == IoResult::Outcome::broken) { return Written::broken; }
    bytes.remove_prefix(result.size);
    if (bytes.empty()) { return Written::whole; }
    unsent_ = std::make_unique<Unsent>(Unsent{{}, WaitsFor::client});
  }
  unsent_->bytes.append(bytes);
  return is_deferred() ? flush(stream) : Written::whole;
}

void SessionOutput::owe(std::string_view bytes) {
  if (bytes.empty()) { return; }
  if (!unsent_) { unsent_ = std::make_unique<Unsent>(Unsent{{}, WaitsFor::client}); }
  unsent_->bytes.append(bytes);
}

void SessionOutput::defer(std::string_view bytes) {
  if (bytes.empty()) { return; }
  if (!unsent_) {
    unsent_ = std::make_unique<Unsent>(Unsent{{}, WaitsFor::end_of_turn});
    unsent_->bytes.end().reserve(kUsualTurn);
  }
  unsent_->bytes.append(bytes);
}

SessionOutput::Written SessionOutput::flush(Stream& stream) {
  if (!unsent_) { return Written::whole; }
  unsent_->waits_for = WaitsFor::client;
  const IoResult result = stream.try_write(unsent_->bytes.bytes());
  if (result.outcome == IoResult::Outcome::broken) {
    drop();
    return Written::broken;
  }
  unsent_->bytes.consume(result.size);
  if (unsent_->bytes.empty()) { drop(); }
  return Written::whole;
}

}  // namespace handoff
