// SPDX-License-Identifier: MIT
#include "os/journal.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include <handoff/os/fd.hpp>

using handoff::leads_to_journal;

namespace {

/// Sets JOURNAL_STREAM for as long as it lives.
class JournalStream {
 public:
  explicit JournalStream(const std::string& text) { setenv("JOURNAL_STREAM", text.c_str(), 1); }
  JournalStream(const JournalStream&) = delete;
  JournalStream& operator=(const JournalStream&) = delete;
  ~JournalStream() { unsetenv("JOURNAL_STREAM"); }
};

TEST_CASE("a descriptor leads to the journal if JOURNAL_STREAM names its device and inode") {
  const handoff::Pipe pipe = handoff::make_pipe();
  const int number = pipe.write_end.get();
  struct stat file {};
  REQUIRE(fstat(number, &file) == 0);
  const std::string device = std::to_string(file.st_dev);
  const std::string inode = std::to_string(file.st_ino);
  unsetenv("JOURNAL_STREAM");
  CHECK(!leads_to_journal(number));
  const auto leads_with = [number](const std::string& text) {
    const JournalStream stream(text);
    return leads_to_journal(number);
  };
  CHECK(leads_with(device + ":" + inode));
  const std::string other = std::to_string(file.st_ino + 1);
  for (const std::string& wrong :
       {device + ":" + other, other + ":" + inode, device + inode, device + ":", ":" + inode,
        device + ":" + inode + "x", " " + device + ":" + inode, std::string()}) {
    CAPTURE(wrong);
    CHECK(!leads_with(wrong));
  }
  const JournalStream stream(device + ":" + inode);
  CHECK(!leads_to_journal(-1));
}

}  // namespace
