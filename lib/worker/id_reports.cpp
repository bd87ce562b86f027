// SPDX-License-Identifier: MIT
#include "worker/id_reports.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include "pass/channel.hpp"

namespace handoff {
namespace {

/// Ids in one message at most; it stays far below channel::kMaxMessage.
constexpr std::size_t kMaxIds = 1024;

/// How long ids are gathered.
constexpr auto kPause = std::chrono::milliseconds(50);

bool send_ids(channel::Type type, std::vector<std::uint64_t>& ids, const IdReports::Send& send) {
  std::size_t sent = 0;
  while (sent < ids.size()) {
    const std::size_t count = std::min(ids.size() - sent, kMaxIds);
    if (!send(channel::encode_ids(type, {ids.data() + sent, count}))) break;
    sent += count;
  }
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(sent));
  return ids.empty();
}

}  // namespace

IdReports::IdReports(Reactor& reactor, std::function<void()> due)
    : Timer(reactor), reactor_(reactor), due_(std::move(due)) {}

void IdReports::started(std::uint64_t id) {
  gather(started_, id);
}

void IdReports::finished(std::uint64_t id) {
  if ((id & channel::kOwnId) != 0) return gather(finished_, id);
  finished_.push_back(id);
  due_();
}

void IdReports::gather(std::vector<std::uint64_t>& ids, std::uint64_t id) {
  ids.push_back(id);
  if (mode_ == Mode::immediate || ids.size() >= kMaxIds) return due_();
  if (std::exchange(mode_, Mode::armed) == Mode::gathering) set(reactor_.now() + kPause);
}

void IdReports::report_immediately() {
  mode_ = Mode::immediate;
  on_timer();
}

void IdReports::on_timer() {
  if (mode_ == Mode::armed) mode_ = Mode::gathering;
  if (!is_empty()) due_();
}

bool IdReports::send_started(const Send& send) {
  return send_ids(channel::Type::started, started_, send);
}

bool IdReports::send_finished(const Send& send) {
  return send_ids(channel::Type::finished, finished_, send);
}

}  // namespace handoff
