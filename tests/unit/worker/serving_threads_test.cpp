// SPDX-License-Identifier: MIT
#include "worker/serving_threads.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "os/socket.hpp"
#include "unit/rpc/session_fixture.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

std::string this_thread() {
  std::ostringstream text;
  text << '"' << std::this_thread::get_id() << '"';
  return text.str();
}

/// A worker's threads, and what their owner was told. The methods are "thread", which gives the
/// name of the thread that runs it, "version", which counts how often methods were made before,
/// and "block", which keeps its thread until `release`.
struct Threads {
  explicit Threads(std::size_t count) { options.threads = count; }

  void start() {
    ServingThreads::Owner owner;
    owner.closed = [this](std::uint64_t, CloseReason why) { reasons.push_back(why); };
    owner.returned = [this](Connection connection) { returned.push_back(std::move(connection)); };
    owner.quota_used_up = [this] { ++used_up; };
    owner.failed = [this](std::string_view line) { lines.emplace_back(line); };
    owner.report = [this](Severity, std::string_view line) { lines.emplace_back(line); };
    const auto make_methods = [this](Reactor&) -> MakeMethodTable {
      return [this] { return table(); };
    };
    threads.emplace(reactor, make_methods, options, owner);
  }
  std::shared_ptr<const MethodTable> table() {
    if (fails) { throw std::runtime_error("cannot list the methods"); }
    auto made = std::make_shared<MethodTable>();
    made->add_instant("version", [number = std::to_string(version)](const Request&) {
      return std::string_view(number);
    });
    made->add("thread", [](const Call&) -> Task<Result> {
      std::string name = this_thread();
      co_return Result::success(std::move(name));
    });
    made->add("block", [this](const Call&) -> Task<Result> {
      blocked.set_value();
      released.wait();
      co_return Result::success("1");
    });
    return made;
  }

  /// A client whose connection is served.
  Fd connect() {
    auto [server, client] = make_socket_pair(SOCK_STREAM);
    threads->serve({.socket = std::move(server), .id = 1});
    return std::move(client);
  }
  Task<std::string> ask(const Fd& client, std::string_view method) {
    const std::string request = "{\"in\":\"" + std::string(method) + "\"}\n";
    test::write_text(client.get(), request);
    std::string line = co_await test::read_line(reactor, client);
    co_return line;
  }
  template <typename Done>
  Task<void> until(Done done) {
    while (!done()) { co_await reactor.yield(); }
  }

  template <typename Steps>
  void run(Steps steps) {
    start();
    reactor.run([](Threads& self, Steps& of) -> Task<void> { co_await of(self); }(*this, steps));
    threads.reset();
  }

  Reactor reactor;
  WorkerOptions options;
  std::vector<CloseReason> reasons;
  std::vector<Connection> returned;
  std::vector<std::string> lines;
  int used_up = 0;
  std::atomic<int> version = 0;
  std::atomic<bool> fails = false;
  std::promise<void> blocked;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::optional<ServingThreads> threads;
};

TEST_CASE("connections are spread evenly over the threads of a worker") {
  const test::DescriptorCheck check;
  Threads threads(3);
  threads.run([](Threads& its) -> Task<void> {
    std::vector<Fd> clients;
    std::map<std::string, int> served;
    for (int i = 0; i < 6; ++i) {
      clients.push_back(its.connect());
      const std::string line = co_await its.ask(clients.back(), "thread");
      ++served[line];
    }
    CHECK(its.threads->open_connections() == 6);
    CHECK(served.size() == 3);
    for (const auto& [thread, count] : served) { CHECK(count == 2); }
    clients.clear();
    co_await its.until([&] { return its.threads->open_connections() == 0; });
    CHECK(its.reasons == std::vector(6, CloseReason::client));
  });
}

TEST_CASE("a connection goes to the thread that has lost one") {
  Threads threads(2);
  threads.run([](Threads& its) -> Task<void> {
    Fd first = its.connect();
    const std::string thread = co_await its.ask(first, "thread");
    const Fd second = its.connect();
    const Fd third = its.connect();
    const std::string thread_of_third = co_await its.ask(third, "thread");
    first.reset();
    co_await its.until([&] { return its.threads->open_connections() == 2; });
    const Fd fourth = its.connect();
    const std::string thread_of_fourth = co_await its.ask(fourth, "thread");
    CHECK(thread_of_fourth == thread);
    CHECK(thread_of_third == thread);  // it has had as few as the other
  });
}

TEST_CASE("calls run on one thread after another, of which the caller's is one") {
  Threads threads(3);
  threads.run([](Threads& its) -> Task<void> {
    std::vector<std::string> ran_on;
    std::vector<bool> elsewhere;
    for (int i = 0; i < 6; ++i) {
      Call call;
      call.method = "thread";
      elsewhere.push_back(its.threads->run_elsewhere(
          call, [&](const Result& result) { ran_on.push_back(result.json); }));
      if (!elsewhere.back()) {
        CHECK(call.method == "thread");  // it is still the caller's
      }
    }
    CHECK(elsewhere == std::vector{true, false, true, true, false, true});
    co_await its.until([&] { return ran_on.size() == 4; });
    std::map<std::string, int> count;
    for (const std::string& thread : ran_on) { ++count[thread]; }
    CHECK(count.size() == 2);
    CHECK(!count.contains(this_thread()));
  });
}

TEST_CASE("a worker with one thread runs every call itself, and always answers") {
  Threads threads(1);
  threads.run([](Threads& its) -> Task<void> {
    Call call;
    for (int i = 0; i < 3; ++i) {
      CHECK(!its.threads->run_elsewhere(call, [](const Result&) {}));
    }
    bool answers = false;
    its.threads->when_all_answer([&] { answers = true; });
    CHECK(answers);
    co_return;
  });
}

TEST_CASE("the threads answer once none of them hangs any more") {
  Threads threads(3);
  threads.run([](Threads& its) -> Task<void> {
    Call call;
    call.method = "block";
    CHECK(its.threads->run_elsewhere(call, [](const Result&) {}));
    its.blocked.get_future().wait();
    int answers = 0;
    its.threads->when_all_answer([&] { ++answers; });
    for (int i = 0; i < 100; ++i) { co_await its.reactor.yield(); }
    CHECK(answers == 0);
    its.release.set_value();
    co_await its.until([&] { return answers > 0; });
    CHECK(answers == 1);
  });
}

TEST_CASE("every thread gives its connections back at a drain, and serves again after it") {
  const test::DescriptorCheck check;
  Threads threads(3);
  threads.run([](Threads& its) -> Task<void> {
    std::vector<Fd> clients;
    for (int i = 0; i < 3; ++i) { clients.push_back(its.connect()); }
    its.threads->drain(WhenDrained::give_back);
    co_await its.until([&] { return its.returned.size() == 3; });
    CHECK(its.threads->open_connections() == 0);
    CHECK(its.reasons.empty());
    its.threads->resume();
    for (Connection& connection : its.returned) { its.threads->serve(std::move(connection)); }
    for (const Fd& client : clients) {
      const std::string line = co_await its.ask(client, "version");
      CHECK(line == "{\"out\":\"version\",\"result\":0}\n");
    }
    its.threads->drain(WhenDrained::close);
    co_await its.until([&] { return its.reasons.size() == 3; });
    CHECK(its.reasons == std::vector(3, CloseReason::drained));
    its.returned.clear();
  });
}

TEST_CASE("connections that were abandoned go on, and their end is told as that") {
  Threads threads(2);
  threads.run([](Threads& its) -> Task<void> {
    std::vector<Fd> clients;
    for (int i = 0; i < 2; ++i) { clients.push_back(its.connect()); }
    its.threads->abandon();
    for (const Fd& client : clients) {
      const std::string line = co_await its.ask(client, "version");
      CHECK(line == "{\"out\":\"version\",\"result\":0}\n");
    }
    clients.clear();
    co_await its.until([&] { return its.threads->open_connections() == 0; });
    for (const CloseReason why : its.reasons) { CHECK(why == CloseReason::abandoned); }
  });
}

TEST_CASE("the requests of all threads count, and use up one quota, which is told once") {
  Threads threads(2);
  threads.options.max_requests = 4;
  threads.run([](Threads& its) -> Task<void> {
    const Fd first = its.connect();
    const Fd second = its.connect();
    for (int i = 0; i < 3; ++i) {
      CHECK(its.threads->requests() == 2 * static_cast<std::uint64_t>(i));
      CHECK(its.threads->has_used_up_quota() == (i == 2));
      for (const Fd* client : {&first, &second}) { co_await its.ask(*client, "version"); }
    }
    co_await its.until([&] { return its.used_up > 0; });
    CHECK(its.threads->requests() == 6);
    CHECK(its.used_up == 1);
  });
}

TEST_CASE("without a quota none is used up") {
  Threads threads(1);
  threads.run([](Threads& its) -> Task<void> {
    const Fd client = its.connect();
    co_await its.ask(client, "version");
    CHECK(!its.threads->has_used_up_quota());
    CHECK(its.used_up == 0);
  });
}

TEST_CASE("a reload makes the methods of every thread again, and says how many there are") {
  Threads threads(2);
  threads.run([](Threads& its) -> Task<void> {
    const Fd first = its.connect();
    const Fd second = its.connect();
    its.version = 1;
    its.threads->reload();
    CHECK(its.lines == std::vector<std::string>{"reloaded, 3 methods"});
    for (const Fd* client : {&first, &second}) {
      std::string line;
      while (line != "{\"out\":\"version\",\"result\":1}\n") {
        line = co_await its.ask(*client, "version");
      }
    }
  });
}

TEST_CASE("methods that can't be made again stay as they were, and why is said") {
  Threads threads(2);
  threads.run([](Threads& its) -> Task<void> {
    const Fd client = its.connect();
    const Fd other = its.connect();
    // Each thread has made its methods once.
    for (const Fd* each : {&client, &other}) { co_await its.ask(*each, "version"); }
    its.version = 1;
    its.fails = true;
    its.threads->reload();
    CHECK(its.lines ==
          std::vector<std::string>{"cannot list the methods; the methods stay as they were"});
    const std::string line = co_await its.ask(client, "version");
    CHECK(line == "{\"out\":\"version\",\"result\":0}\n");
  });
}

TEST_CASE("the threads share the calls that run and wait at a time, rounded up") {
  Threads threads(2);
  threads.options.limits.concurrency = 3;
  threads.options.limits.max_waiting = 5;
  threads.run([](Threads& its) -> Task<void> {
    CHECK(its.threads->main().limits().concurrency == 2);
    CHECK(its.threads->main().limits().max_waiting == 3);
    CHECK(!its.threads->main().limits().synchronous);
    co_return;
  });
  Threads one(1);
  one.options.limits.concurrency = 1;
  one.run([](Threads& its) -> Task<void> {
    CHECK(its.threads->main().limits().synchronous);
    co_return;
  });
}

}  // namespace
}  // namespace handoff
