// SPDX-License-Identifier: MIT
#include "os/process_mark.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <sstream>

#include "os/environment.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

/// The most looks at a process in the middle of execve(2), and the microseconds between two: a
/// second, which it needs only if the machine is overloaded.
constexpr int kMaxLooks = 5000;
constexpr useconds_t kLookPause = 200;

/// Returns an empty text if the file cannot be read: the process is gone, or may not be examined.
std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Why the environment of a process is empty.
enum class Bare {
  forever,   ///< the process has none, or may not be examined
  ending,    ///< the process is ending, or has ended
  starting,  ///< the process is in the middle of execve(2), or was just now
};

Bare why_bare(pid_t pid) {
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (stat.empty()) { return Bare::ending; }
  std::istringstream words(stat.substr(stat.rfind(')') + 1));
  const std::vector<std::string> fields(std::istream_iterator<std::string>(words), {});
  const auto field = [&fields](std::size_t number) {  // as proc(5) counts them; the third is here
    if (number - 3 >= fields.size()) { return 0UL; }
    return parse_number<unsigned long>(fields[number - 3]).value_or(0);
  };
  constexpr unsigned long kExiting = 0x4;              // PF_EXITING
  constexpr unsigned long kKernelThread = 0x00200000;  // PF_KTHREAD
  if ((field(9) & kExiting) != 0) { return Bare::ending; }
  // The kernel sets the start of the code at the end of execve(2); 1 means that this process may
  // not see it.
  const unsigned long code = field(26);
  const bool is_empty = field(50) == field(51);
  const bool is_forever = (field(9) & kKernelThread) != 0 || code == 1 || (code != 0 && is_empty);
  return is_forever ? Bare::forever : Bare::starting;
}

std::optional<std::string> value_after(std::string_view environment, std::string_view start) {
  while (!environment.empty()) {
    const std::string_view entry = environment.substr(0, environment.find('\0'));
    if (entry.starts_with(start)) { return std::string(entry.substr(start.size())); }
    environment.remove_prefix(std::min(entry.size() + 1, environment.size()));
  }
  return std::nullopt;
}

}  // namespace

ProcessMarks::ProcessMarks() {
  // The time keeps these marks apart from those of a later process with the same number.
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  const std::string own = read_variable(variable::kMark).value_or("");
  prefix_ = assignment(variable::kMark, fmt::format("{}{}-{:x}-", own, getpid(), now));
}

std::string ProcessMarks::next() {
  return fmt::format("{}{}.", prefix_, ++count_);
}

void set_mark(std::vector<std::string>& environment, const std::string& mark) {
  set_variable(environment, variable::kMark, std::string_view(mark).substr(mark.find('=') + 1));
}

std::optional<std::string> find_mark(pid_t pid, std::string_view start) {
  const std::string path = fmt::format("/proc/{}/environ", pid);
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    const std::string environment = read_file(path);
    if (!environment.empty()) { return value_after(environment, start); }
    if (why_bare(pid) != Bare::starting) { return std::nullopt; }
    usleep(kLookPause);
  }
  return std::nullopt;
}

bool is_ending(pid_t pid) {
  return why_bare(pid) == Bare::ending;
}

}  // namespace handoff
