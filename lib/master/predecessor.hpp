// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "async/reactor.hpp"
#include "os/fd.hpp"
#include "pass/connection.hpp"
#include "worker/master_channel.hpp"

namespace handoff {

/// The master before this one, at the other end of a channel on which this master is a worker. As
/// long as it serves, the names of the sockets are its own.
class Predecessor final {
 public:
  /// They follow one another in this order; some may be left out, and none comes back.
  enum class Phase {
    serves,    ///< this master starts
    promised,  ///< it still serves, was told READY, and answers that the names are ours, or ends
    drains,    ///< it has handed over, and still passes connections
    gone,      ///< it has ended, after it handed over or before
  };

  /// What it causes.
  class Owner {
   public:
    /// It passes one of its connections.
    virtual void connection_passed(Connection connection) = 0;
    /// All that came at a time were given to connection_passed().
    virtual void all_passed() = 0;
    /// It has handed over.
    virtual void predecessor_drains() = 0;
    /// It has ended, in the phase `before`.
    virtual void predecessor_gone(Phase before) = 0;

   protected:
    ~Owner() = default;
  };

  /// `failed` gets a line about connections that were lost.
  Predecessor(Reactor& reactor, Owner& owner, Fd channel,
              std::function<void(std::string_view)> failed);
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  /// Receives from now on; it may pass so many connections at a time.
  void start(std::size_t credits);
  /// This master accepts.
  void say_ready();
  /// A connection that it has passed has ended, or is in the hands of a worker.
  void finished(std::uint64_t id);

  Phase phase() const { return phase_; }
  /// Whether the names of the sockets are its own.
  bool owns_names() const { return phase_ == Phase::serves || phase_ == Phase::promised; }

 private:
  bool enter(Phase next);

  MasterChannel::LifeEvents life_events();
  MasterChannel::TrafficEvents traffic_events();
  void accept_asked();
  void connections_missed(std::size_t count);
  void channel_failed(int error);
  void master_gone();

  Owner& owner_;
  std::function<void(std::string_view)> failed_;
  std::shared_ptr<MasterChannel> link_;  ///< until it is gone
  Phase phase_ = Phase::serves;
};

}  // namespace handoff
