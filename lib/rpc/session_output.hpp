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

  /// Returns whether no bytes wait.
  bool empty() const { return !unsent_; }
  /// Returns whether bytes wait for the end of the turn, and not for the client.
  bool is_deferred() const { return unsent_ && unsent_->waits_for == WaitsFor::end_of_turn; }
  /// Returns whether bytes wait for the client to read.
  bool is_blocked() const { return unsent_ && unsent_->waits_for == WaitsFor::client; }
  /// Returns the number of bytes that wait.
  std::size_t held() const { return unsent_ ? unsent_->bytes.size() : 0; }

  /// Writes the bytes, after those that are deferred, without blocking; keeps what the client does
  /// not take. While bytes wait for the client, it only adds these to them.
  [[nodiscard]] Written send(Stream& stream, std::string_view bytes);
  /// Keeps the bytes of a reply that another process has left unwritten, for flush().
  void owe(std::string_view bytes);
  /// Keeps the bytes for the next send(), or for flush() at the end of the turn.
  void defer(std::string_view bytes);
  /// Writes the bytes that wait as far as the client takes them, without blocking.
  [[nodiscard]] Written flush(Stream& stream);
  /// Drops the bytes that wait.
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
