// SPDX-License-Identifier: MIT
#include "rpc/work.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "os/memory.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"
#include "wire/dialect.hpp"
#include "wire/errors.hpp"
#include "wire/framing.hpp"

namespace handoff {
namespace {

Work work_with(std::string read) {
  Work work;
  work.id = 7;
  work.connection = std::move(make_socket_pair(SOCK_STREAM).first);
  work.read = std::move(read);
  work.framing = Framing::lines;
  work.dialect = Dialect::json_rpc;
  work.put_aside();
  return work;
}

/// As it would be received: by its entry, and copies of its descriptors.
Work received(const Work& work) {
  std::vector<Fd> descriptors;
  descriptors.push_back(work.connection.duplicate());
  if (work.aside.valid()) descriptors.push_back(work.aside.duplicate());
  std::size_t next = 0;
  Work copy = Work::from(work.entry(), descriptors, next);
  CHECK(next == descriptors.size());
  return copy;
}

TEST_CASE("what was read travels with the connection, long bytes aside") {
  const test::DescriptorCheck check;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, channel::kMaxRead,
                                 channel::kMaxRead + 1, std::size_t{3'000'000}}) {
    const std::string bytes(size, '\xA5');
    const Work work = work_with(bytes);
    CHECK(work.aside.valid() == (size > channel::kMaxRead));
    Work copy = received(work);
    CHECK(copy.id == 7);
    CHECK(copy.framing == Framing::lines);
    CHECK(copy.dialect == Dialect::json_rpc);
    CHECK(test::same_file(copy.connection.get(), work.connection.get()));
    CHECK(copy.take_read() == bytes);
    CHECK(!copy.aside.valid());
  }
}

TEST_CASE("a missing descriptor leaves the connection without one") {
  const Work work = work_with("x");
  std::vector<Fd> none;
  std::size_t next = 0;
  CHECK(!Work::from(work.entry(), none, next).connection.valid());
}

TEST_CASE("bytes aside that are fewer than was said are an error") {
  Work work = work_with(std::string(channel::kMaxRead + 1, 'x'));
  work.aside_size += 1;
  CHECK_THROWS_AS(work.take_read(), ProtocolError);
}

TEST_CASE("more bytes than one connection may bring are refused before they are read") {
  Work work = work_with(std::string(channel::kMaxRead + 1, 'x'));
  CHECK(work.unread() == channel::kMaxRead + 1);
  CHECK_THROWS_AS(work.to_connection(channel::kMaxRead), ProtocolError);
  CHECK(work.to_connection(channel::kMaxRead + 1).read.size() == channel::kMaxRead + 1);
}

TEST_CASE("a file that has no memory for its bytes is not sound") {
  Work work = work_with(std::string(channel::kMaxRead + 1, 'x'));
  CHECK(work.is_sound());
  const std::size_t size = std::size_t{129} << 20;
  SharedMemory sparse = make_memory_to_read("sparse", size);
  work.aside = std::move(sparse.file);
  work.aside_size = size;
  CHECK_FALSE(work.is_sound());
}

TEST_CASE("as many connections go in a message as fit, and always one") {
  std::deque<Work> works;
  for (int i = 0; i < 40; ++i) works.push_back(work_with(""));
  CHECK(fit_in_message(works) == channel::kMaxEntries);
  works.clear();
  for (int i = 0; i < 3; ++i) works.push_back(work_with(std::string(channel::kMaxRead, 'x')));
  CHECK(fit_in_message(works) == 1);
  works.clear();
  for (int i = 0; i < 3; ++i) works.push_back(work_with(std::string(channel::kMaxRead / 2, 'x')));
  CHECK(fit_in_message(works) == 3);
}

}  // namespace
}  // namespace handoff
