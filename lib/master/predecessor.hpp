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
/// long as it serves, it owns the names of the sockets.
class Predecessor final {
 public:
  /// The phases follow one another in this order; some may be left out, and none comes back.
  enum class Phase {
    serves,    ///< the predecessor serves, while this master starts
    promised,  ///< it still serves and was told READY; it will say that this master owns the names,
               ///< or end
    drains,    ///< it has handed over, and still passes connections
    gone,      ///< it has ended, before or after it handed over
  };

  /// The observer of the predecessor, which calls it with what happens.
  class Owner {
   public:
    /// Called with a connection that it passes.
    virtual void connection_passed(Connection connection) = 0;
    /// Called when all connections that arrived together were given to connection_passed().
    virtual void all_passed() = 0;
    /// Called when it has handed over.
    virtual void predecessor_drains() = 0;
    /// Called when it has ended, in the phase `before`.
    virtual void predecessor_gone(Phase before) = 0;

   protected:
    ~Owner() = default;
  };

  /// Takes over `channel`. `failed` is called with a line about connections that were lost. The
  /// reactor and `owner` must outlive this object.
  Predecessor(Reactor& reactor, Owner& owner, Fd channel,
              std::function<void(std::string_view)> failed);
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  /// Begins to receive; the predecessor may pass `credits` connections at a time.
  void start(std::size_t credits);
  /// Tells the predecessor that this master accepts.
  void say_ready();
  /// Reports that a connection that it has passed has ended, or is in the hands of a worker.
  void finished(std::uint64_t id);

  Phase phase() const { return phase_; }
  /// Returns whether the predecessor owns the names of the sockets.
  bool owns_names() const { return phase_ == Phase::serves || phase_ == Phase::promised; }

 private:
  /// Changes the phase; nothing else does.
  bool enter(Phase next);

  MasterChannel::LifeEvents life_events();
  MasterChannel::TrafficEvents traffic_events();
  void accept_asked();
  void connections_missed(std::size_t count);
  void channel_failed(int error);
  void master_gone();

  Owner& owner_;
  std::function<void(std::string_view)> failed_;
  std::shared_ptr<MasterChannel> link_;  ///< null after it is gone
  Phase phase_ = Phase::serves;
};

}  // namespace handoff
