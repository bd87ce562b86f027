// SPDX-License-Identifier: MIT
#include "cli/worker_methods.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <handoff/os/error.hpp>

#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

/// The methods of a command line, and calls of them.
struct Methods {
  void make() {
    methods.emplace(reactor, runner, options, add_own, adding);
    table = methods->make();
  }
  bool has(std::string_view name) const { return table->has(name); }
  /// What a method that is a program answers.
  std::string call(std::string_view name) {
    const Method* method = table->find(name);
    REQUIRE(method != nullptr);
    REQUIRE(method->handler);
    Call call;
    call.method = name;
    call.params = "1";
    return reactor.run_for_result(method->handler(std::move(call))).json;
  }
  std::string instant(std::string_view name) const {
    const Method* method = table->find(name);
    REQUIRE(method != nullptr);
    REQUIRE(method->instant);
    return std::string(method->instant({name, "1", {}, Dialect::article}));
  }
  void add_program(const std::string& name, const std::string& says) const {
    const std::string path = directory.path(name);
    test::write_file(path, "#!/bin/sh\necho '" + says + "'\n");
    REQUIRE(chmod(path.c_str(), 0700) == 0);
  }

  test::TemporaryDirectory directory;
  Reactor reactor;
  ChildRunner runner{{}};
  WorkerToolOptions options;
  AddMethods add_own;
  std::mutex adding;
  std::optional<WorkerMethods> methods;
  std::shared_ptr<const MethodTable> table;
};

TEST_CASE("a worker without options has the methods that are built in") {
  Methods methods;
  methods.make();
  CHECK(methods.table->names() == std::vector<std::string>{"echo", "info", "methods", "ping"});
  CHECK(methods.instant("echo") == "1");
}

TEST_CASE("commands, coprocesses, servers, directories and own methods are all in the table") {
  Methods methods;
  methods.options.methods = {"command=echo 10"};
  methods.options.coprocesses = {"coprocess=while read -r line; do echo 11; done"};
  methods.options.forwards = {"one.*=./s", "two.*=./s"};
  methods.options.directories = {methods.directory.path("")};
  methods.add_program("program", "12");
  methods.add_own = [](MethodTable& table, Reactor&) {
    table.add_instant("own", [](const Request&) { return std::string_view("13"); });
  };
  methods.make();
  CHECK(methods.call("command") == "10");
  CHECK(methods.call("coprocess") == "11");
  CHECK(methods.call("program") == "12");
  CHECK(methods.instant("own") == "13");
  CHECK(methods.table->find("one.x") != nullptr);
  CHECK(methods.table->find("two.x") != nullptr);
  CHECK(methods.table->find("three.x") == nullptr);
}

TEST_CASE("what was named goes before what was found, and that before what is built in") {
  Methods methods;
  methods.options.methods = {"echo=echo 1"};
  methods.options.directories = {methods.directory.path("")};
  methods.add_program("echo", "2");
  methods.add_program("ping", "3");
  methods.make();
  CHECK(methods.call("echo") == "1");
  CHECK(methods.call("ping") == "3");
  CHECK(methods.has("info"));
}

TEST_CASE("the table that is made again has what the directories hold by then") {
  Methods methods;
  methods.options.directories = {methods.directory.path("")};
  methods.add_program("old", "1");
  methods.make();
  CHECK(methods.has("old"));
  std::filesystem::remove(methods.directory.path("old"));
  methods.add_program("new", "2");
  methods.table = methods.methods->make();
  CHECK(!methods.has("old"));
  CHECK(methods.call("new") == "2");
}

TEST_CASE("a directory that is gone by then makes the new table impossible") {
  Methods methods;
  const std::string path = methods.directory.path("methods");
  std::filesystem::create_directory(path);
  methods.options.directories = {path};
  methods.make();
  std::filesystem::remove(path);
  CHECK_THROWS_AS(methods.methods->make(), SystemError);
}

TEST_CASE("two methods of one name are refused, and so is an option without a name") {
  Methods methods;
  SUBCASE("twice") {
    methods.options.methods = {"a=true", "a=false"};
  }
  SUBCASE("by two options") {
    methods.options.methods = {"a=true"};
    methods.options.coprocesses = {"a=cat"};
  }
  SUBCASE("an own one") {
    methods.options.methods = {"a=true"};
    methods.add_own = [](MethodTable& table, Reactor&) {
      table.add_instant("a", [](const Request&) { return std::string_view("1"); });
    };
  }
  SUBCASE("no name") {
    methods.options.coprocesses = {"cat"};
  }
  CHECK_THROWS_AS(methods.make(), InvalidArgument);
}

TEST_CASE("own methods are added while the lock of the threads is held") {
  Methods methods;
  bool was_free = true;
  methods.add_own = [&](MethodTable&, Reactor& of) {
    CHECK(&of == &methods.reactor);
    std::thread([&] { was_free = methods.adding.try_lock(); }).join();
  };
  methods.make();
  CHECK(!was_free);
  CHECK(methods.adding.try_lock());
  methods.adding.unlock();
}

TEST_CASE("the number that a master has given its worker is a part of `info`") {
  const test::Variable number("HANDOFF_WORKER", "7");
  Methods methods;
  methods.make();
  CHECK(methods.instant("info").find("\"worker\":7") != std::string::npos);
}

}  // namespace
}  // namespace handoff
