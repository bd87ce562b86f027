// SPDX-License-Identifier: MIT
#include "commands/received_json.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <utility>

#include <handoff/os/fd.hpp>

namespace handoff {
namespace {

TEST_CASE("each descriptor that was received is a line of JSON, with its name if it has one") {
  Received received;
  received.descriptors.push_back(make_pipe().read_end);
  received.descriptors.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  received.names = {"a\"b", ""};
  CHECK(lines_about(received) ==
        "{\"name\":\"a\\\"b\",\"type\":\"pipe\"}\n"
        "{\"type\":\"character device\",\"path\":\"/dev/null\"}\n");
}

TEST_CASE("a message without a descriptor has no line") {
  CHECK(lines_about(Received{}).empty());
}

}  // namespace
}  // namespace handoff
