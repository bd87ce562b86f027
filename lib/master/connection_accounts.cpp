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
    case channel::Type::deposit: return deposit(std::move(message.connections));
    default: status = finished(message.ids); break;
  }
  owner_.assigned_changed();
  if (accepted > 0) { owner_.accepted(accepted); }
  if (!taken.empty()) { owner_.returned(std::move(taken)); }
  return status;
}

Status ConnectionAccounts::lose(channel::Message message) {
  std::vector<HeldConnection> taken;
  std::size_t lost = 0;
  std::size_t lost_kept = 0;
  Status status = Status::ok();
  for (Connection& connection : message.connections) {
    if (!is_kept(connection.id)) {
      ++lost;
    } else if (connection.spilled_size > 0 && !connection.spilled.valid()) {
      if (kept_->lost(connection.id)) { ++lost_kept; }
    } else if (status = return_one(std::move(connection), taken); !status.is_ok()) {
      break;
    }
  }
  if (status.is_ok()) { status = take_off(lost, kNotGiven); }
  owner_.assigned_changed();
  if (status.is_ok() && lost + lost_kept > 0) { owner_.lost(lost + lost_kept); }
  if (!taken.empty()) { owner_.returned(std::move(taken)); }
  return status;
}

Status ConnectionAccounts::started(std::span<const std::uint64_t> ids, std::size_t& accepted) {
  for (const std::uint64_t id : ids) {
    if (expects_own_ && (id & channel::kOwnId) != 0) {
      ++accepted_;
      ++accepted;
    } else if (is_kept(id) ? !kept_->started(id) : !sent_.take(id)) {
      return Status::failure("it started a connection that it was not given");
    }
    if (!is_kept(id)) { ++acknowledged_; }
  }
  sent_.speed_up();
  return Status::ok();
}

Status ConnectionAccounts::refused(std::span<const std::uint64_t> ids,
                                   std::vector<HeldConnection>& taken) {
  for (const std::uint64_t id : ids) {
    std::optional<HeldConnection> held = is_kept(id) ? kept_->refused(id) : sent_.take(id);
    if (held) {
      taken.push_back(std::move(*held));
    } else if (!is_kept(id) || !kept_->had(id)) {
      return Status::failure("it refused a connection that it was not given");
    }
  }
  sent_.slow_down();
  return Status::ok();
}

Status ConnectionAccounts::returned(std::vector<Connection> connections,
                                    std::vector<HeldConnection>& taken) {
  for (Connection& connection : connections) {
    if (Status status = return_one(std::move(connection), taken); !status.is_ok()) {
      return status;
    }
  }
  return Status::ok();
}

Status ConnectionAccounts::return_one(Connection connection, std::vector<HeldConnection>& taken) {
  Custody::Hold hold;
  const bool kept = is_kept(connection.id);
  if (kept ? !kept_->returned(connection, hold) : acknowledged_ == 0) {
    return Status::failure(kNotGiven);
  }
  if (!connection.is_complete()) {
    return Status::failure("it returned a connection without its descriptor");
  }
  // The master keeps the socket of a kept connection itself, so only others are checked.
  if ((!kept || connection.spilled.valid()) && !connection.is_sound()) {
    return Status::failure("it returned something that is no connection");
  }
  if (!kept) {
    --acknowledged_;
    if (kept_ != nullptr) { kept_->own_ended(connection.id); }
    hold = Custody::Hold(*custody_, connection.descriptors(), 0, connection.unread_size());
  }
  taken.push_back({std::move(connection), std::move(hold)});
  return Status::ok();
}

Status ConnectionAccounts::finished(std::span<const std::uint64_t> ids) {
  std::size_t others = 0;
  for (const std::uint64_t id : ids) {
    if (!is_kept(id)) {
      ++others;
      if (kept_ != nullptr) { kept_->own_ended(id); }
    } else if (!kept_->finished(id)) {
      return Status::failure("it finished a connection that it was not given");
    }
  }
  return take_off(others, "it finished more connections than it was given");
}

Status ConnectionAccounts::deposit(std::vector<Connection> connections) {
  if (kept_ == nullptr || !expects_own_) {
    return Status::failure("it deposited a connection, and has no ledger or no listener");
  }
  std::vector<std::uint64_t> refused;
  for (Connection& connection : connections) {
    const std::uint64_t id = connection.id;
    if ((id & channel::kOwnId) == 0 || connection.unread_size() > 0) {
      return Status::failure("it deposited a connection that it was given");
    }
    const bool is_there =
        connection.is_complete() && connection.is_sound() && kept_->deposits() < acknowledged_;
    if (!is_there || !kept_->deposited(std::move(connection))) { refused.push_back(id); }
  }
  if (!refused.empty()) { owner_.deposits_refused(std::move(refused)); }
  return Status::ok();
}

Status ConnectionAccounts::take_off(std::size_t count, const char* why) {
  if (count > acknowledged_) { return Status::failure(why); }
  acknowledged_ -= count;
  return Status::ok();
}

}  // namespace handoff
