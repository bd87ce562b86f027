// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"

namespace handoff {

/// The worker's end of its channel, in the form that the socket's type tells: SOCK_SEQPACKET the
/// full one, SOCK_STREAM the plain one. Shared: its tasks keep it alive until they have ended.
class MasterLink : public std::enable_shared_from_this<MasterLink> {
 public:
  /// Who is told what the master says.
  class Owner {
   public:
    virtual void connection_passed(const channel::Entry& entry, Fd connection) = 0;
    /// A connection could not be received, for want of descriptors.
    virtual void connection_missed() = 0;
    /// The master passes nothing more: it has asked for the end, or is gone.
    virtual void drain_asked() = 0;

   protected:
    ~Owner() = default;
  };

  /// Throws InvalidArgument when the descriptor is no socket.
  MasterLink(Reactor& reactor, Owner& owner, Fd channel);
  MasterLink(const MasterLink&) = delete;
  MasterLink& operator=(const MasterLink&) = delete;

  /// Says who we are and that we are ready, then receives. An error of the protocol ends the
  /// reactor's run.
  void start(std::size_t credits);
  /// The connection has ended.
  void finished(std::uint64_t id);
  /// The master shall pass nothing more: it reads this as our end.
  void leave();
  /// Ends the tasks.
  void close();

 private:
  static Task<void> receive_messages(std::shared_ptr<MasterLink> self);
  static Task<void> receive_plain(std::shared_ptr<MasterLink> self);
  static Task<void> send_messages(std::shared_ptr<MasterLink> self);
  Task<void> send(std::string message);
  void handle(std::span<const char> packet, std::vector<Fd>& descriptors);

  Reactor& reactor_;
  Owner& owner_;
  Fd channel_;
  Readiness readiness_;
  bool full_;
  std::vector<std::string> greeting_;
  std::vector<std::uint64_t> finished_;
  Event some_to_send_;
  bool closed_ = false;
};

}  // namespace handoff
