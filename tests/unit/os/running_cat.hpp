// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/spawn.hpp"
#include "unit/support.hpp"

namespace handoff::test {

/// `cat`, up and running, until its input ends: a process to look at through /proc.
class RunningCat {
 public:
  explicit RunningCat(SpawnOptions options = {}, std::vector<std::pair<int, int>> more = {}) {
    auto [input_read, input_write] = make_pipe();
    auto [output_read, output_write] = make_pipe();
    options.argv = {"cat"};
    options.descriptors = std::move(more);
    options.descriptors.emplace_back(input_read.get(), 0);
    options.descriptors.emplace_back(output_write.get(), 1);
    child_ = spawn(options);
    input_ = std::move(input_write);
    // Its answer shows that the loader is done with its own descriptors.
    write_text(input_.get(), "?");
    REQUIRE(becomes_readable(output_read.get()));
    output_ = std::move(output_read);
  }
  RunningCat(const RunningCat&) = delete;
  RunningCat& operator=(const RunningCat&) = delete;
  ~RunningCat() {
    if (child_.pidfd() >= 0) {
      child_.kill(SIGKILL);
      child_.reap();
    }
  }

  Child& child() { return child_; }
  std::string proc(std::string_view name) const {
    return "/proc/" + std::to_string(child_.pid()) + "/" + std::string(name);
  }
  std::set<int> descriptors() const {
    std::set<int> numbers;
    for (const auto& entry : std::filesystem::directory_iterator(proc("fd"))) {
      numbers.insert(std::stoi(entry.path().filename()));
    }
    return numbers;
  }
  bool has(int number, const Fd& fd) const {
    struct stat theirs {};
    struct stat ours {};
    REQUIRE(stat(proc("fd/" + std::to_string(number)).c_str(), &theirs) == 0);
    REQUIRE(fstat(fd.get(), &ours) == 0);
    return theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
  }
  std::string status(std::string_view field) const {
    const std::string text = read_file(proc("status"));
    const auto start = text.find("\n" + std::string(field) + ":\t");
    REQUIRE(start != std::string::npos);
    const auto value = text.find('\t', start) + 1;
    return text.substr(value, text.find('\n', value) - value);
  }

 private:
  Child child_;
  Fd input_;
  Fd output_;
};

}  // namespace handoff::test
