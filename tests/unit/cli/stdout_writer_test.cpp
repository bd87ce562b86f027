// SPDX-License-Identifier: MIT
#include "cli/stdout_writer.hpp"

#include <climits>
#include <doctest/doctest.h>
#include <fcntl.h>

#include <string>

#include <handoff/os/fd.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

std::string line(std::size_t size) {
  return std::string(size - 1, 'x') + "\n";
}

TEST_CASE("a piece for a pipe ends with the last line that fits in PIPE_BUF") {
  const Pipe pipe = make_pipe();
  const auto piece_of = [&](const std::string& text) {
    return first_piece(text, pipe.write_end.get()).size();
  };
  CHECK(piece_of("") == 0);
  CHECK(piece_of("no newline") == 10);
  CHECK(piece_of(line(PIPE_BUF)) == PIPE_BUF);
  CHECK(piece_of(line(700) + line(700)) == 1400);
  CHECK(piece_of(line(PIPE_BUF) + line(1)) == PIPE_BUF);
  CHECK(piece_of(line(700) + line(PIPE_BUF)) == 700);
  CHECK(piece_of(line(700) + line(700) + line(PIPE_BUF - 1)) == 1400);
}

TEST_CASE("a line that is longer than PIPE_BUF goes in pieces of that, and the next one whole") {
  const Pipe pipe = make_pipe();
  std::string text = line(2 * PIPE_BUF + 10) + line(PIPE_BUF - 5);
  CHECK(first_piece(text, pipe.write_end.get()).size() == PIPE_BUF);
  text.erase(0, 2 * PIPE_BUF);
  CHECK(first_piece(text, pipe.write_end.get()).size() == 10);
}

TEST_CASE("a file and /dev/null take everything at once") {
  const test::TemporaryDirectory directory;
  const std::string text = line(700) + line(1'000'000);
  const Fd file(open(directory.path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const Fd null(open("/dev/null", O_WRONLY | O_CLOEXEC));
  CHECK(first_piece(text, file.get()).size() == text.size());
  CHECK(first_piece(text, null.get()).size() == text.size());
}

}  // namespace
}  // namespace handoff
