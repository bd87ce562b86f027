// SPDX-License-Identifier: MIT
#include "commands/status_table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "os/printable.hpp"

namespace handoff {
namespace {

using nlohmann::json;

/// Stands for a value that is not known yet.
constexpr const char* kUnknown = "-";

std::uint64_t number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : "";
}

/// Returns the sum of the members of the object that `object` has under `name`.
std::uint64_t sum(const json& object, const char* name) {
  std::uint64_t total = 0;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_object()) { return 0; }
  for (const auto& member : *found) {
    if (member.is_number_unsigned()) { total += member.get<std::uint64_t>(); }
  }
  return total;
}

/// Returns the age as "12s", "3m 10s", "2h 5m" or "4d 3h".
std::string age(const json& object) {
  const auto found = object.find("age");
  const double value = found != object.end() && found->is_number() ? found->get<double>() : 0;
  const auto seconds = static_cast<std::uint64_t>(std::clamp(value, 0.0, 1e12));
  if (seconds < 60) { return fmt::format("{}s", seconds); }
  if (seconds < 3600) { return fmt::format("{}m {}s", seconds / 60, seconds % 60); }
  if (seconds < 86400) { return fmt::format("{}h {}m", seconds / 3600, seconds / 60 % 60); }
  return fmt::format("{}d {}h", seconds / 86400, seconds / 3600 % 24);
}

/// Returns how many requests per second there were since `before`, which is null if there is none.
/// A counter that has become smaller belongs to another master or worker.
std::string request_rate(const json& now, const json* before, Duration since) {
  const double seconds = std::chrono::duration<double>(since).count();
  if (before == nullptr || seconds <= 0) { return kUnknown; }
  const std::uint64_t last = number(*before, "requests");
  const std::uint64_t count = number(now, "requests");
  if (last > count) { return kUnknown; }
  const double rate = static_cast<double>(count - last) / seconds;
  return rate < 10 ? fmt::format("{:.1f}", rate) : fmt::format("{:.0f}", rate);
}

/// Returns the calls by their duration: how many took at most so many seconds.
std::map<double, std::uint64_t> durations(const json& status) {
  std::map<double, std::uint64_t> counts;
  const auto found = status.find("durations");
  if (found == status.end() || !found->is_array()) { return counts; }
  for (const json& bucket : *found) {
    const bool is_pair = bucket.is_array() && bucket.size() == 2 && bucket[0].is_number() &&
                         bucket[1].is_number_unsigned();
    if (is_pair) { counts[bucket[0].get<double>()] += bucket[1].get<std::uint64_t>(); }
  }
  return counts;
}

/// Returns the 99th percentile of the durations of the calls that have ended since `before`, as
/// precisely as the buckets allow.
std::string p99(const json& now, const json& before) {
  std::map<double, std::uint64_t> counts = durations(now);
  for (const auto& [limit, count] : durations(before)) {
    std::uint64_t& mine = counts[limit];
    mine -= std::min(mine, count);
  }
  std::uint64_t total = 0;
  for (const auto& [limit, count] : counts) { total += count; }
  if (total == 0) { return kUnknown; }
  const auto rank = static_cast<std::uint64_t>(std::ceil(static_cast<double>(total) * 0.99));
  std::uint64_t seen = 0;
  for (const auto& [limit, count] : counts) {
    seen += count;
    if (seen < rank) { continue; }
    return limit < 0.001 ? fmt::format("{:.0f} us", limit * 1e6)
                         : fmt::format("{:.4g} ms", limit * 1e3);
  }
  return kUnknown;
}

const json* worker_of(const json& status, std::uint64_t worker, std::uint64_t pid) {
  const auto workers = status.find("workers");
  if (workers == status.end() || !workers->is_array()) { return nullptr; }
  for (const json& other : *workers) {
    if (number(other, "worker") == worker && number(other, "pid") == pid) { return &other; }
  }
  return nullptr;
}

std::string listeners_of(const json& status) {
  std::string all;
  const auto found = status.find("listeners");
  if (found == status.end() || !found->is_array()) { return all; }
  for (const json& listener : *found) {
    if (listener.is_string()) { all += " " + printable(listener.get<std::string>()); }
  }
  return all;
}

std::string describe_master(const json& now, const json& before, Duration since) {
  const std::string balance = text(now, "balance");
  const json* last = before.is_object() ? &before : nullptr;
  const json none = json::object();
  const json& rescued = now.contains("rescued") ? now["rescued"] : none;
  return fmt::format(
      "rpc-master {}, pid {}: {} for {}, passes each {}{}, on{}\n"
      "{} connections, {} requests/s, {} calls, p99 {}, {} errors, {} rescued, {} lost",
      text(now, "version"), number(now, "pid"), text(now, "state"), age(now), text(now, "pass"),
      balance.empty() ? "" : " (" + balance + ")", listeners_of(now), number(now, "connections"),
      request_rate(now, last, since), number(now, "calls"), p99(now, before), sum(now, "errors"),
      number(rescued, "moved") + number(rescued, "answered"), number(now, "lost"));
}

std::string describe_worker(const json& worker, const json& before, Duration since) {
  const json* last = worker_of(before, number(worker, "worker"), number(worker, "pid"));
  return fmt::format("{:>6} {:>8}  {:<9}{:>11}{:>12}{:>7}{:>8}{:>10}  {}", number(worker, "worker"),
                     number(worker, "pid"), text(worker, "state"), number(worker, "connections"),
                     request_rate(worker, last, since), number(worker, "calls"),
                     sum(worker, "errors"), number(worker, "restarts"), age(worker));
}

}  // namespace

std::optional<std::string> status_table(std::string_view now_text, std::string_view before_text,
                                        Duration since) {
  const json now = json::parse(now_text, nullptr, false);
  const json before = json::parse(before_text, nullptr, false);
  const bool is_status = now.is_object() && now.contains("workers") && now["workers"].is_array() &&
                         !text(now, "state").empty();
  if (!is_status) { return std::nullopt; }
  std::string table = describe_master(now, before, since);
  table += fmt::format("\n\n{:>6} {:>8}  {:<9}{:>11}{:>12}{:>7}{:>8}{:>10}  {}", "WORKER", "PID",
                       "STATE", "CONNECTIONS", "REQUESTS/S", "CALLS", "ERRORS", "RESTARTS", "AGE");
  for (const json& worker : now["workers"]) {
    if (worker.is_object()) { table += "\n" + describe_worker(worker, before, since); }
  }
  return table;
}

}  // namespace handoff
