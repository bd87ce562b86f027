// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <handoff/async/stream.hpp>

#include "wire/byte_queue.hpp"

namespace handoff {

/// The replies of a connection that its client has not taken. It holds memory only while there are
/// some.
class SessionOutput {
 public:
  /// Whether the connection can still be written to.
  enum class Written : std::uint8_t { whole, broken };

  /// Whether bytes wait.
  bool empty() const { return !unsent_; }
  /// Whether they wait for the end of the turn, and not for the client.
  bool is_deferred() const { return unsent_ && unsent_->waits_for == WaitsFor::end_of_turn; }
  /// Whether they wait for the client to read.
  bool is_blocked() const { return unsent_ && unsent_->waits_for == WaitsFor::client; }
  std::size_t held() const { return unsent_ ? unsent_->bytes.size() : 0; }

  /// Writes the bytes, after those that are deferred; keeps what the client does not take. While it
  /// is blocked nothing is written before flush().
  [[nodiscard]] Written send(Stream& stream, std::string_view bytes);
  /// Keeps the bytes of a reply that another process owed, to be written by flush().
  void owe(std::string_view bytes);
  /// Keeps the bytes, to be written by the next send(), or by flush() at the end of the turn.
  void defer(std::string_view bytes);
  /// Writes what waits, as far as the client takes it.
  [[nodiscard]] Written flush(Stream& stream);
  /// Forgets what waits.
  void drop() { unsent_.reset(); }

 private:
  enum class WaitsFor : std::uint8_t { end_of_turn, client };
  struct Unsent {
    ByteQueue bytes;
    WaitsFor waits_for;
  };

  std::unique_ptr<Unsent> unsent_;
};

}  // namespace handoff
