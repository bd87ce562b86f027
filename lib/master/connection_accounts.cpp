// SPDX-License-Identifier: MIT
#include "master/connection_accounts.hpp"

#include <optional>
#include <utility>

#include "pass/channel.hpp"

namespace handoff {
namespace {

constexpr const char* kNotGiven = "it returned a connection that it did not have";

}  // namespace

Status ConnectionAccounts::take(channel::Message message) {
  std::size_t accepted = 0;
  std::vector<HeldConnection> taken;
  Status status = Status::ok();
  switch (message.type) {
    case channel::Type::started: status = started(message.ids, accepted); break;
    case channel::Type::refused: status = refused(message.ids, taken); break;
    case channel::Type::returned: status = returned(std::move(message.connections), taken); break;
    default:
      status = take_off(message.ids.size(), "it finished more connections than it was given");
      break;
  }
  owner_.assigned_changed();
  if (accepted > 0) owner_.accepted(accepted);
  if (!taken.empty()) owner_.returned(std::move(taken));
  return status;
}

Status ConnectionAccounts::lose(std::size_t count) {
  Status status = take_off(count, kNotGiven);
  if (!status.is_ok()) return status;
  owner_.assigned_changed();
  owner_.lost(count);
  return status;
}

Status ConnectionAccounts::started(std::span<const std::uint64_t> ids, std::size_t& accepted) {
  for (const std::uint64_t id : ids) {
    if (expects_own_ && (id & channel::kOwnId) != 0) {
      ++accepted_;
      ++accepted;
    } else if (!sent_.take(id)) {
      return Status::failure("it started a connection that it was not given");
    }
    ++acknowledged_;
  }
  sent_.speed_up();
  return Status::ok();
}

Status ConnectionAccounts::refused(std::span<const std::uint64_t> ids,
                                   std::vector<HeldConnection>& taken) {
  for (const std::uint64_t id : ids) {
    std::optional<HeldConnection> held = sent_.take(id);
    if (!held) return Status::failure("it refused a connection that it was not given");
    taken.push_back(std::move(*held));
  }
  sent_.slow_down();
  return Status::ok();
}

Status ConnectionAccounts::returned(std::vector<Connection> connections,
                                    std::vector<HeldConnection>& taken) {
  for (Connection& connection : connections) {
    if (acknowledged_ == 0) return Status::failure(kNotGiven);
    if (!connection.is_complete()) {
      return Status::failure("it returned a connection without its descriptor");
    }
    if (!connection.is_sound()) {
      return Status::failure("it returned something that is no connection");
    }
    --acknowledged_;
    Custody::Hold hold(*custody_, connection.descriptors(), 0, connection.unread_size());
    taken.push_back({std::move(connection), std::move(hold)});
  }
  return Status::ok();
}

Status ConnectionAccounts::take_off(std::size_t count, const char* why) {
  if (count > acknowledged_) return Status::failure(why);
  acknowledged_ -= count;
  return Status::ok();
}

}  // namespace handoff
