// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

namespace handoff {
namespace {

using namespace limits;

std::string in_bytes(std::size_t bytes) {
  REQUIRE(bytes % 1024 == 0);
  return bytes % (1024 * 1024) == 0 ? fmt::format("{} MiB", bytes >> 20U)
                                    : fmt::format("{} KiB", bytes >> 10U);
}

std::string in_seconds(std::chrono::seconds time) {
  return fmt::format("{}s", time.count());
}

/// The page, or one section of it, as one line of words without macros.
std::string page(std::string_view section = {}) {
  std::ifstream file(HANDOFF_MAN "/handoff-wire.7");
  REQUIRE(file.good());
  std::string words;
  bool is_inside = section.empty();
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(".Sh ")) { is_inside = section.empty() || line.substr(4) == section; }
    if (!is_inside) { continue; }
    std::istringstream rest(line.starts_with('.') && line.find(' ') != std::string::npos
                                ? line.substr(line.find(' ') + 1)
                                : line);
    for (std::string word; rest >> word;) {
      if (word == "Fl" || word == "No") { continue; }
      words.append(words.empty() ? "" : " ").append(word);
    }
  }
  REQUIRE(!words.empty());
  return words;
}

/// What the section LIMITS says of these constants.
std::vector<std::string> documented_limits() {
  return {
      fmt::format("Length of a body: {}, -max-frame , at most {}", in_bytes(kMaxFrame),
                  in_bytes(kHighestMaxFrame)),
      fmt::format("From a frame's first byte to its last: {}, -frame-timeout",
                  in_seconds(kFrameTimeout)),
      fmt::format("A client that reads none of its replies: {}, -write-timeout",
                  in_seconds(kWriteTimeout)),
      fmt::format("A call: {}, -timeout", in_seconds(kCallTimeout)),
      fmt::format("A worker that answers nothing to its master: {}, Ql rpc-master --hang-timeout",
                  in_seconds(kHangTimeout)),
      fmt::format("Requests in a queue: {}, -queue-limit", kMaxQueuedRequests),
      fmt::format("Calls that run, in one worker: {}, -concurrency", kMaxRunningCalls),
      fmt::format("Further calls wait, at most {} of them", kMaxWaitingCalls),
      fmt::format("When {} connections wait", kMaxWaitingCalls),
      fmt::format("Calls of one connection that run or wait: {} ", kMaxCallsOfConnection),
      fmt::format("Requests of a batch: {} ", kMaxBatch),
      fmt::format("What one connection makes a process hold: {}, or twice -max-frame",
                  in_bytes(kMaxConnectionMemory)),
      fmt::format("{} at first, more with each short reply", kFirstCalls),
      fmt::format("What all clients make a process hold: {}, -max-memory", in_bytes(kMaxMemory)),
      fmt::format("The header of a proxy: {}, -proxy-from", in_seconds(kProxyHeaderTimeout)),
      fmt::format("at most {} bytes in version 1, and {} after the first 16 in version 2",
                  kMaxProxyLine, in_bytes(kMaxProxyBlock)),
      fmt::format("at most {} connections wait for their header", kMaxAwaitedProxyHeaders),
      fmt::format("A reply: {}, -max-frame", in_bytes(kMaxFrame)),
      fmt::format("the length of a reply: {}, -max-frame", in_bytes(kMaxFrame)),
      fmt::format(
          "the head of a request has at most {}, a request has {} seconds to arrive and its "
          "reply {} seconds to be taken, and there are at most {} connections at a time",
          in_bytes(kMaxStatusRequest), kStatusTimeout.count(), kStatusTimeout.count(),
          kMaxStatusConnections),
      fmt::format("allows {} senders to be connected at a time, and gives each {} seconds",
                  kMaxSenders, kSenderTimeout.count()),
  };
}

TEST_CASE("the section LIMITS of handoff-wire(7) has the limits of the list") {
  const std::string section = page("LIMITS");
  for (const std::string& limit : documented_limits()) {
    CAPTURE(limit);
    CHECK(section.find(limit) != std::string::npos);
  }
  CHECK(kLingerTimeout == std::chrono::seconds(1));
  CHECK(section.find("closes the connection when the client has closed it, or after a second.") !=
        std::string::npos);
}

TEST_CASE("each number that heads an item of LIMITS is in the list") {
  const std::vector<std::string> documented = documented_limits();
  std::ifstream file(HANDOFF_MAN "/handoff-wire.7");
  std::size_t items = 0;
  bool is_inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(".Sh ")) { is_inside = line == ".Sh LIMITS"; }
    const std::size_t colon = line.find(": ");
    if (!is_inside || !line.starts_with(".It ") || colon == std::string::npos) { continue; }
    if (line.find_first_of("0123456789", colon) == std::string::npos) { continue; }
    const std::string item = line.substr(4, colon - 4);
    CAPTURE(item);
    const auto is_of_item = [&](std::string_view limit) { return limit.starts_with(item + ": "); };
    CHECK(std::any_of(documented.begin(), documented.end(), is_of_item));
    ++items;
  }
  CHECK(items >= 10);
}

TEST_CASE("the other sections of handoff-wire(7) have their limits of the list") {
  const std::string text = page();
  for (const std::string& limit : {
           fmt::format("would be more than {}, which is why -max-frame cannot be more.",
                       in_bytes(kHighestMaxFrame)),
           fmt::format("A batch is an array of 1 to {} requests.", kMaxBatch),
           fmt::format("Arrays and objects nest at most {} deep", kMaxDepth),
           fmt::format("Each message is one packet of at most {},", in_bytes(kMaxChannelMessage)),
           fmt::format("CONNECTION master 1-{} entries", kMaxEntries),
           fmt::format("LISTENER both 0-{}", kMaxEntries),
           fmt::format("have room for {} descriptors", kMaxEntryDescriptors),
           fmt::format("puts more than {} aside, and seals the file; there may be at most {}.",
                       in_bytes(kMaxReadInEntry), in_bytes(kMaxAside)),
           fmt::format("may make it hold plus {}.", in_bytes(kMaxUnsent)),
           fmt::format("while those that it has not passed on have {} of such bytes.",
                       in_bytes(kMaxUnread)),
           fmt::format("A line of at most {} bytes with its CRLF.", kMaxProxyLine),
           fmt::format("16 bytes, and a block of at most {}.", in_bytes(kMaxProxyBlock)),
           fmt::format("some bytes with 1 to {} descriptors", kMaxDescriptors),
           fmt::format("So a message has at most {} bytes.", kMaxHandover),
       }) {
    CAPTURE(limit);
    CHECK(text.find(limit) != std::string::npos);
  }
}

TEST_CASE("no four bytes of text are a length within the highest limit") {
  CHECK(kHighestMaxFrame < 0x09090909);  // tabs, the least bytes of text
}

}  // namespace
}  // namespace handoff
