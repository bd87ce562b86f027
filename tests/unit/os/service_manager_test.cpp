// SPDX-License-Identifier: MIT
#include "os/service_manager.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/socket_address.hpp>

#include "os/environment.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Variables of this process, for as long as it lives.
class Variables {
 public:
  explicit Variables(std::vector<std::pair<const char*, std::string>> values)
      : values_(std::move(values)) {
    for (const auto& [name, value] : values_) { setenv(name, value.c_str(), 1); }
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;
  ~Variables() {
    for (const auto& [name, value] : values_) { unsetenv(name); }
  }

 private:
  std::vector<std::pair<const char*, std::string>> values_;
};

/// The notification socket of a manager.
class Manager {
 public:
  explicit Manager(const SocketAddress& address)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    REQUIRE(bind(socket_.get(), address.data(), address.size()) == 0);
  }

  /// The next message, or nothing.
  std::string message() {
    std::array<char, 512> buffer{};
    const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    return size < 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(size));
  }
  const Fd& socket() const { return socket_; }

 private:
  Fd socket_;
};

TEST_CASE("the manager is told what happens, at a path or at an abstract name") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("notify");
  const std::string name = "handoff-test-" + std::to_string(getpid());
  for (const auto& [text, address] : {std::pair{path, SocketAddress::unix_path(path)},
                                      std::pair{"@" + name, SocketAddress::unix_abstract(name)}}) {
    Manager manager(address);
    const Variables variables({{variable::kNotifySocket, text}});
    const ServiceManager told;
    CHECK(told.is_there());
    told.ready();
    CHECK(manager.message() == "READY=1");
    told.reloading();
    CHECK(manager.message().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    told.stopping();
    CHECK(manager.message() == "STOPPING=1");
    told.status("3 workers");
    CHECK(manager.message() == "STATUS=3 workers");
    told.main_pid(4711);
    CHECK(manager.message() == "MAINPID=4711");
    told.watchdog();
    CHECK(manager.message() == "WATCHDOG=1");
    CHECK(manager.message().empty());
  }
}

TEST_CASE("without a manager, or with one that is gone, everything does nothing") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string too_long(200, 'x');
  for (const std::string& socket : {std::string(), directory.path("gone"), too_long}) {
    const Variables variables({{variable::kNotifySocket, socket}});
    const ServiceManager manager;
    CHECK(!manager.is_there());
    manager.ready();
    manager.watchdog();
  }
  const ServiceManager none;
  CHECK(!none.is_there());
  CHECK(none.variables().empty());
  CHECK(!none.watchdog_interval());
}

TEST_CASE("a manager that reads nothing does not make anybody wait") {
  const test::TemporaryDirectory directory;
  const Manager manager(SocketAddress::unix_path(directory.path("notify")));
  const Variables variables({{variable::kNotifySocket, directory.path("notify")}});
  const ServiceManager told;
  // More than its socket holds: a message that waited for room would wait for ever.
  for (int i = 0; i < 2000; ++i) { told.ready(); }
  CHECK(told.is_there());
}

TEST_CASE("a sign of life is due at half of the time that the manager waits for it") {
  const auto interval_of = [](const std::string& period) {
    const Variables variables({{variable::kWatchdogUsec, period}});
    return ServiceManager().watchdog_interval();
  };
  CHECK(interval_of("3000000") == milliseconds(1500));
  CHECK(interval_of("1") == milliseconds(1));
  CHECK(interval_of("999999999999") == hours(1));
  for (const char* none : {"0", "-1", "soon", ""}) { CHECK(!interval_of(none)); }
}

TEST_CASE("a watchdog that is meant for another process expects nothing of this one") {
  const auto interval_for = [](const std::string& pid) {
    const Variables variables({{variable::kWatchdogUsec, "2000"}, {variable::kWatchdogPid, pid}});
    return ServiceManager().watchdog_interval();
  };
  CHECK(interval_for(std::to_string(getpid())) == milliseconds(1));
  CHECK(!interval_for(std::to_string(getppid())));
}

TEST_CASE("a successor is told of the manager, and of the watchdog as its own") {
  const Variables variables({{variable::kNotifySocket, "/run/notify"},
                             {variable::kWatchdogUsec, "3000000"},
                             {variable::kWatchdogPid, std::to_string(getpid())}});
  CHECK(ServiceManager().variables() ==
        std::vector<std::string>{"NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=3000000"});
}

}  // namespace
}  // namespace handoff
