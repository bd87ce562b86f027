// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/fd.hpp>

#include "methods/child_runner.hpp"
#include "unit/support.hpp"

namespace handoff::test {

/// What a process has, without one: its ends of the pipes, and how it ends. Tests play its part.
struct FakeProcess {
  Fd in;
  Fd out;
  Fd err;
  Fd exit{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  ExitStatus status;  ///< what it is reaped with
  int times_ended = 0;

  /// It ends by itself.
  void exit_with(ExitStatus how) {
    status = how;
    eventfd_write(exit.get(), 1);
  }
  bool is_killed() const { return times_ended == 1; }
  bool has_input() const {
    pollfd input{in.get(), POLLIN, 0};
    return poll(&input, 1, 0) == 1;
  }
  /// What has been written to it.
  std::string read_input() const {
    std::array<char, 4096> buffer{};
    const ssize_t size = read(in.get(), buffer.data(), buffer.size());
    REQUIRE(size > 0);
    return {buffer.data(), static_cast<std::size_t>(size)};
  }
};

/// Every process that was started, the first one first.
using FakeProcesses = std::vector<std::shared_ptr<FakeProcess>>;

class FakeChild final : public ChildRunner::Child {
 public:
  explicit FakeChild(std::shared_ptr<FakeProcess> process) : process_(std::move(process)) {}
  FakeChild(const FakeChild&) = delete;
  FakeChild& operator=(const FakeChild&) = delete;
  ~FakeChild() override {
    if (process_->times_ended == 0) { end(); }
  }

  int pidfd() const override { return process_->exit.get(); }
  bool has_ended() const override {
    pollfd exit{process_->exit.get(), POLLIN, 0};
    return poll(&exit, 1, 0) == 1;
  }
  ExitStatus end() override {
    ++process_->times_ended;
    process_->in.reset();
    process_->out.reset();
    process_->err.reset();
    return process_->status;
  }

 private:
  std::shared_ptr<FakeProcess> process_;
};

inline StartChild start_fakes(FakeProcesses& started) {
  return [&started](int in, int out, int err) {
    auto process = std::make_shared<FakeProcess>();
    process->in = duplicate(in);
    process->out = duplicate(out);
    process->err = duplicate(err);
    started.push_back(process);
    return std::make_unique<FakeChild>(process);
  };
}

}  // namespace handoff::test
