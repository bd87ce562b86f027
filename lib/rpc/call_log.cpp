// SPDX-License-Identifier: MIT
#include "rpc/call_log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

#include <handoff/wire/json_text.hpp>

#include "os/utf8.hpp"

namespace handoff {
namespace {

/// Returns a name that a client has chosen as one word: another one than that of printable ASCII
/// without a space is in quotation marks, so that no name passes for the rest of a line.
std::string as_word(std::string_view name) {
  const std::string_view start = utf8_start(name, CallLog::kMostOfName);
  const bool is_plain = !start.empty() && std::all_of(start.begin(), start.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '"';
  });
  return (is_plain ? std::string(start) : quote_json(start)) +
         (start.size() < name.size() ? "..." : "");
}

std::string error_of(ErrorCode code) {
  return fmt::format("error {}", static_cast<int>(code));
}

}  // namespace

void CallLog::ended(std::string_view method, std::string_view peer, ErrorCode code,
                    TimePoint begun) const {
  const bool is_ok = code == ErrorCode{};
  if (is_ok && which_ == Calls::failed) { return; }
  say(method, peer, is_ok ? "ok" : error_of(code), begun);
}

void CallLog::cut_off(std::string_view method, std::string_view peer, TimePoint begun) const {
  say(method, peer, "cut off", begun);
}

void CallLog::refused(std::string_view peer, ErrorCode code) const {
  say_(fmt::format("bad request from {}: {}", as_word(peer), error_of(code)));
}

void CallLog::say(std::string_view method, std::string_view peer, std::string_view how,
                  TimePoint begun) const {
  const std::chrono::duration<double, std::milli> took = Clock::now() - begun;
  say_(fmt::format("call {} from {}: {}, {:.3f} ms", as_word(method), as_word(peer), how,
                   took.count()));
}

}  // namespace handoff
