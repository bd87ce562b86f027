// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "master/pass_connection.hpp"
#include "master/pass_mode.hpp"

namespace handoff {

/// `--pass listener`: every worker has the listening sockets, and accepts for itself. The model of
/// nginx and of Apache's prefork.
///
/// Connections come here only when a worker that drains gives them back; they are passed on as in
/// the other model.
class PassListener final : public Dispatcher {
 public:
  /// The sockets: those that workers start with, and get from now on. Owned by the caller, and open
  /// until others are set.
  void set_listeners(std::vector<int> listeners);
  /// From now on the workers accept.
  void begin();

  void worker_joined(WorkerChannel& link) override;
  void worker_left(WorkerChannel& link) override;
  void worker_gone(WorkerChannel& link) override;
  void worker_has_room(WorkerChannel& link) override { returned_.worker_has_room(link); }
  void successor_joined(WorkerChannel& link) override { returned_.worker_joined(link); }
  void others_shall_accept(WorkerChannel& link) override { wake_others(link); }
  std::span<const int> inheritance() const override { return listeners_; }
  void work_arrived(HeldConnection held) override { returned_.work_arrived(std::move(held)); }
  bool can_take() const override { return returned_.can_take(); }
  bool has_takers() const override { return returned_.has_takers(); }
  void flush() override { returned_.flush(); }
  void flush_all() override { returned_.flush_all(); }
  std::size_t waiting() const override { return returned_.waiting(); }
  std::size_t waiting_to_be_served() const override { return returned_.waiting_to_be_served(); }

 private:
  void pass_listeners(WorkerChannel& link) const;
  void wake_others(const WorkerChannel& link);

  std::vector<int> listeners_;
  std::vector<WorkerChannel*> links_;
  PassConnection returned_{Balance::least};
  bool begun_ = false;
};

}  // namespace handoff
