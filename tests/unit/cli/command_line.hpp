// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/fd.hpp>

#include "cli/tool_main.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff::test {

using Words = std::vector<std::string>;

/// A command line that lives as long as the tool that reads it.
class CommandLine {
 public:
  explicit CommandLine(std::vector<std::string> words) : words_(std::move(words)) {
    words_.insert(words_.begin(), "tool");
    for (std::string& word : words_) { argv_.push_back(word.data()); }
    argv_.push_back(nullptr);
  }
  int argc() const { return static_cast<int>(words_.size()); }
  char** argv() { return argv_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> argv_;
};

/// Sets a variable of the environment for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

/// What `call` writes to one of our standard streams.
inline std::string written_to(int number, const std::function<void()>& call) {
  Pipe pipe = make_pipe();
  const Fd before(dup(number));
  std::fflush(stdout);
  dup2(pipe.write_end.get(), number);
  pipe.write_end.reset();
  call();
  std::fflush(stdout);
  dup2(before.get(), number);
  return read_until_end(pipe.read_end.get());
}

/// Runs tool_main, which says something on stderr only.
inline std::string said_by(const Words& words, int expected,
                           const std::function<ExitCode(Tool&)>& run) {
  CommandLine line(words);
  return written_to(STDERR_FILENO, [&] {
    const int status = tool_main("tool", line.argc(), line.argv(), run);
    CHECK(status == expected);
  });
}

}  // namespace handoff::test
