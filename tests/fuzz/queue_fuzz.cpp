// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fuzz/support.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

/// What a hostile worker may write to its memory, and records of a queue: nothing is read past the
/// memory, what can't be breaks the ring for good, and what is decoded is encoded as it was.
namespace handoff::fuzz {
namespace {

constexpr std::size_t kState = 4096;

/// A master's end, whose other side is in our hands.
struct Hostile {
  Hostile() {
    const std::size_t size = RingEnd::memory_size(0);
    SharedMemory ours = make_memory_to_write("requests", size);
    SharedMemory theirs = make_memory_to_read("replies", size);
    memory = Mapping::writable(theirs.file.get());
    Mapping requests = Mapping::read_only(ours.file.get());
    Mapping replies = Mapping::writable(theirs.file.get());
    master.emplace(std::move(ours.mapping), std::move(theirs.mapping));
    worker.emplace(std::move(replies), std::move(requests));
  }
  std::optional<RingEnd> master;
  std::optional<RingEnd> worker;
  Mapping memory;
};

template <typename Value, typename Write, typename Decode>
void check_record(std::string_view record, const std::optional<Value>& decoded, Write write,
                  Decode decode) {
  if (!decoded) { return; }
  Hostile pair;
  if (record.size() > pair.worker->longest()) { return; }
  check(write(*pair.worker, *decoded), "a record that came can be written");
  pair.worker->publish();
  std::string copy;
  const auto again = pair.master->read(copy);
  check(again.has_value(), "what was written can be read");
  check(again->size() == record.size(), "a record is as long as it was");
  check(decode(*again).has_value(), "a record is decoded again");
}

void check_records(std::string_view record) {
  const auto request = decode_request(record);
  if (request) {
    for (const std::string_view text :
         {request->method, request->params, request->id, request->peer}) {
      check(lies_within(text, record), "a view lies in the record");
    }
    check(request->method.size() + request->params.size() + request->id.size() +
                  request->peer.size() + kQueueRecordSize ==
              record.size(),
          "a request has all bytes of its record");
  }
  check_record(record, request, write_request, decode_request);
  const auto reply = decode_reply(record);
  if (reply) {
    check(lies_within(reply->json, record) && lies_within(reply->message, record),
          "a view lies in the record");
  }
  check_record(record, reply, write_reply, decode_reply);
  check(!reply || !decode_reply(record.substr(0, record.size() - 1)), "a part is no reply");
}

/// Each piece goes to some place of the memory, as often to the state and the next record as to any
/// other; then the master looks.
void check_memory(std::string_view input, Pieces& random) {
  Hostile pair;
  std::string copy;
  bool was_broken = false;
  while (!random.done()) {
    const std::string_view piece = random.next();
    const std::array places{std::size_t{0},
                            std::size_t{64},
                            std::size_t{128},
                            kState,
                            kState + random.below(256),
                            random.below(pair.memory.size())};
    const std::size_t at = places[random.below(places.size())];
    const std::size_t most = at < kState ? 8 : pair.memory.size() - at;
    std::memcpy(pair.memory.data() + at, piece.data(), std::min(piece.size(), most));
    for (int i = 0; i < 4; ++i) {
      const auto record = pair.master->read(copy);
      check(!record || !was_broken, "a broken ring is read no more");
      if (!record) { break; }
      check(record->size() <= pair.memory.size() - kState, "a record is no longer than the ring");
      (void)decode_reply(*record);
      pair.master->release();
    }
    const bool written = pair.master->write(std::array{input.substr(0, random.below(100))});
    check(!written || !was_broken, "a broken ring is written no more");
    pair.master->publish();
    (void)pair.master->must_wake();
    check(pair.master->broken() || !was_broken, "a broken ring stays so");
    was_broken = pair.master->broken();
  }
}

void run(std::string_view input) {
  check_records(input);
  Pieces random(input);
  check_memory(input, random);
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
