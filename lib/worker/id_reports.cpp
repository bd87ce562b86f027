// SPDX-License-Identifier: MIT
#include "worker/id_reports.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include "pass/channel.hpp"

namespace handoff {
namespace {

/// The most numbers in one message, which stays far below channel::kMaxMessage.
constexpr std::size_t kMaxIds = 1024;

bool send_ids(channel::Type type, std::vector<std::uint64_t>& ids, const IdReports::Send& send) {
  std::size_t sent = 0;
  while (sent < ids.size()) {
    const std::size_t count = std::min(ids.size() - sent, kMaxIds);
    if (!send(channel::encode_ids(type, {ids.data() + sent, count}))) { break; }
    sent += count;
  }
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(sent));
  return ids.empty();
}

}  // namespace

const IdReports::Patience IdReports::kOwn = {std::chrono::milliseconds(50), kMaxIds};
const IdReports::Patience IdReports::kPassed = {std::chrono::milliseconds(1), 16};

IdReports::IdReports(Reactor& reactor, std::function<void()> due)
    : Timer(reactor), reactor_(reactor), due_(std::move(due)) {}

void IdReports::started(std::uint64_t id) {
  started_.push_back(id);
  gather(started_, kOwn);
}

void IdReports::finished(std::uint64_t id, Urgency urgency) {
  finished_.push_back(id);
  if ((id & channel::kOwnId) != 0) { return gather(finished_, kOwn); }
  const bool is_first = reactor_.now() - told_ >= kPassed.pause;
  if (urgency == Urgency::at_once || is_first) { return due_(); }
  gather(finished_, kPassed);
}

void IdReports::gather(const std::vector<std::uint64_t>& ids, const Patience& patience) {
  if (mode_ == Mode::immediate || ids.size() >= patience.ids) { return due_(); }
  const TimePoint latest = reactor_.now() + patience.pause;
  if (latest < due()) { set(latest); }
}

void IdReports::report_immediately() {
  mode_ = Mode::immediate;
  on_timer();
}

void IdReports::on_timer() {
  if (!is_empty()) { due_(); }
}

bool IdReports::send_started(const Send& send) {
  return send_ids(channel::Type::started, started_, send);
}

bool IdReports::send_finished(const Send& send) {
  if (!finished_.empty()) { told_ = reactor_.now(); }
  return send_ids(channel::Type::finished, finished_, send);
}

}  // namespace handoff
