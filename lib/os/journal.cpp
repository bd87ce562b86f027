// SPDX-License-Identifier: MIT
#include "os/journal.hpp"

#include <sys/stat.h>

#include <cstdint>
#include <string_view>

#include "os/environment.hpp"
#include "os/parse_number.hpp"

namespace handoff {

bool leads_to_journal(int number) {
  const auto stream = read_variable(variable::kJournalStream);
  if (!stream) { return false; }
  const std::string_view text = *stream;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) { return false; }
  const auto device = parse_number<std::uint64_t>(text.substr(0, colon));
  const auto inode = parse_number<std::uint64_t>(text.substr(colon + 1));
  struct stat file {};
  if (!device || !inode || fstat(number, &file) < 0) { return false; }
  return file.st_dev == *device && file.st_ino == *inode;
}

}  // namespace handoff
