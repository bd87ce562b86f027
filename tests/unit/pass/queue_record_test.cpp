// SPDX-License-Identifier: MIT
#include "pass/queue_record.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "os/sealed_memory.hpp"

namespace handoff {
namespace {

/// Both ends of a pair of rings.
struct Pair {
  explicit Pair(std::size_t longest = 100) {
    const std::size_t size = RingEnd::memory_size(longest);
    SharedMemory ours = make_memory_to_write("test", size);
    SharedMemory theirs = make_memory_to_read("test", size);
    Mapping requests = Mapping::read_only(ours.file.get());
    Mapping replies = Mapping::writable(theirs.file.get());
    master.emplace(std::move(ours.mapping), std::move(theirs.mapping));
    worker.emplace(std::move(replies), std::move(requests));
  }
  std::optional<RingEnd> master;
  std::optional<RingEnd> worker;
};

/// What arrives of a record that one end writes.
std::string pass_on(RingEnd& from, RingEnd& to) {
  from.publish();
  std::string copy;
  const auto record = to.read(copy);
  REQUIRE(record);
  return std::string(*record);
}

void put(std::string& record, std::size_t at, std::uint32_t number) {
  std::memcpy(record.data() + at, &number, sizeof number);
}

TEST_CASE("a request arrives as it was written") {
  Pair pair;
  const QueueRequest request{0x1122334455667788, -5, "sum", "[1,2]", "\"id\"", "127.0.0.1:80"};
  REQUIRE(write_request(*pair.master, request));
  const std::string record = pass_on(*pair.master, *pair.worker);
  const auto arrived = decode_request(record);
  REQUIRE(arrived);
  CHECK(arrived->ticket == request.ticket);
  CHECK(arrived->deadline == request.deadline);
  CHECK(arrived->method == request.method);
  CHECK(arrived->params == request.params);
  CHECK(arrived->id == request.id);
  CHECK(arrived->peer == request.peer);
}

TEST_CASE("a request may have empty texts, and no deadline") {
  Pair pair;
  REQUIRE(
      write_request(*pair.master, {1, std::numeric_limits<std::int64_t>::max(), "", "", "", ""}));
  const std::string record = pass_on(*pair.master, *pair.worker);
  CHECK(record.size() == kQueueRecordSize);
  const auto arrived = decode_request(record);
  REQUIRE(arrived);
  CHECK(arrived->deadline == std::numeric_limits<std::int64_t>::max());
  CHECK(arrived->method.empty());
  CHECK(arrived->peer.empty());
}

TEST_CASE("a reply arrives as it was written") {
  Pair pair;
  const std::array replies = {QueueReply{7, 0, "{\"a\":1}", ""},
                              QueueReply{8, -32001, "", "it failed"},
                              QueueReply{9, std::numeric_limits<std::int32_t>::min(), "1", "why"}};
  for (const QueueReply& reply : replies) {
    REQUIRE(write_reply(*pair.worker, reply));
    const std::string record = pass_on(*pair.worker, *pair.master);
    const auto arrived = decode_reply(record);
    REQUIRE(arrived);
    CHECK(arrived->ticket == reply.ticket);
    CHECK(arrived->code == reply.code);
    CHECK(arrived->json == reply.json);
    CHECK(arrived->message == reply.message);
  }
}

TEST_CASE("a reply tells how long its method took, or that it was not begun") {
  Pair pair;
  REQUIRE(write_reply(*pair.worker, {7, 0, "1", "", 1234}));
  std::string record = pass_on(*pair.worker, *pair.master);
  auto arrived = decode_reply(record);
  REQUIRE(arrived);
  CHECK(arrived->duration == 1234);
  CHECK_FALSE(arrived->is_not_begun());
  REQUIRE(write_not_begun(*pair.worker, 8));
  record = pass_on(*pair.worker, *pair.master);
  arrived = decode_reply(record);
  REQUIRE(arrived);
  CHECK(arrived->ticket == 8);
  CHECK(arrived->is_not_begun());
}

TEST_CASE("a record that is cut off or has more than its texts is none") {
  Pair pair;
  REQUIRE(write_request(*pair.master, {1, 2, "method", "{}", "3", "peer"}));
  const std::string request = pass_on(*pair.master, *pair.worker);
  REQUIRE(write_reply(*pair.worker, {1, 2, "{}", "message"}));
  const std::string reply = pass_on(*pair.worker, *pair.master);
  for (std::size_t size = 0; size < request.size(); ++size) {
    CHECK_FALSE(decode_request(std::string_view(request).substr(0, size)));
  }
  for (std::size_t size = 0; size < reply.size(); ++size) {
    CHECK_FALSE(decode_reply(std::string_view(reply).substr(0, size)));
  }
  CHECK_FALSE(decode_request(request + '\0'));
  CHECK_FALSE(decode_reply(reply + '\0'));
}

TEST_CASE("sizes that would add up to too much, or wrap around, are none") {
  Pair pair;
  REQUIRE(write_request(*pair.master, {1, 2, "method", "{}", "3", "peer"}));
  const std::string request = pass_on(*pair.master, *pair.worker);
  REQUIRE(write_reply(*pair.worker, {1, 2, "{}", "message"}));
  const std::string reply = pass_on(*pair.worker, *pair.master);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  for (const std::uint32_t size : {0U, 5U, 1000U, 0x80000000U, kMost - 6, kMost}) {
    for (std::size_t at = 16; at < 32; at += 4) {
      std::string changed = request;
      put(changed, at, size);
      CHECK_FALSE(decode_request(changed));
    }
    for (std::size_t at = 12; at < 20; at += 4) {
      std::string changed = reply;
      put(changed, at, size);
      CHECK_FALSE(decode_reply(changed));
    }
  }
  // 2^32 more of one, as 32 bits would have it.
  std::string wrapped = reply;
  put(wrapped, 12, kMost - 1);
  put(wrapped, 16, 2 + 7 + 2);
  CHECK_FALSE(decode_reply(wrapped));
}

TEST_CASE("what does not fit is not written, and the next that does is") {
  Pair pair;
  const std::string big(pair.master->longest() - kQueueRecordSize, 'x');
  const std::string bigger = big + 'x';
  CHECK_FALSE(write_request(*pair.master, {1, 2, bigger, "", "", ""}));
  REQUIRE(write_request(*pair.master, {2, 2, big, "", "", ""}));
  CHECK_FALSE(write_request(*pair.master, {3, 2, "", "", "", ""}));
  const std::string record = pass_on(*pair.master, *pair.worker);
  const auto arrived = decode_request(record);
  REQUIRE(arrived);
  CHECK(arrived->ticket == 2);
  CHECK(arrived->method == big);
  pair.worker->release();
  CHECK(write_request(*pair.master, {3, 2, "", "", "", ""}));
}

}  // namespace
}  // namespace handoff
