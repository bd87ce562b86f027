// SPDX-License-Identifier: MIT
#include "ping/report.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "ping/statistics.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using namespace std::chrono_literals;

struct ReportTest {
  std::string out;
  std::vector<std::string> status;
  std::vector<std::string> errors;
  std::vector<std::string> details;

  PingReportOptions options() {
    PingReportOptions options;
    options.out = [this](std::string_view text) { out += text; };
    options.status = [this](std::string_view text) { status.emplace_back(text); };
    options.error = [this](std::string_view text) { errors.emplace_back(text); };
    options.detail = [this](std::string_view text) { details.emplace_back(text); };
    options.size = 56;
    return options;
  }
};

PingResult result_of(std::initializer_list<Duration> rtts, int lost = 0) {
  PingResult result;
  result.address = "127.0.0.1:8080";
  result.peer = result.address;
  result.started = true;
  result.over_tcp = true;
  result.duration = 2003ms;
  for (const Duration rtt : rtts) {
    result.statistics.add_sent();
    result.statistics.add_received(rtt);
  }
  for (int i = 0; i < lost; ++i) { result.statistics.add_sent(); }
  return result;
}

TEST_CASE_FIXTURE(ReportTest, "lines and footer read as ping's") {
  PingReport report(options());
  const PingResult result = result_of({71us, 83us, 86us});
  report.on_start(result);
  report.on_sent(result, 1);
  report.on_pong(result, 1, 71us);
  report.print_summary(result);
  CHECK(out ==
        "PING 127.0.0.1:8080: 56 bytes of params\n"
        "pong from 127.0.0.1:8080: seq=1 time=0.071 ms\n"
        "\n"
        "--- 127.0.0.1:8080 ping statistics ---\n"
        "3 sent, 3 received, 0% loss, time 2003ms\n"
        "rtt min/avg/max/mdev = 0.071/0.080/0.086/0.006 ms\n"
        "rtt p50 = 0.083 ms\n");
  CHECK(errors.empty());
}

TEST_CASE_FIXTURE(ReportTest, "a percentile is printed that the number of replies can carry") {
  PingReport report(options());
  const auto percentiles_of = [&](int replies) {
    PingResult result = result_of({});
    for (int i = 0; i < replies; ++i) {
      result.statistics.add_sent();
      result.statistics.add_received(1ms);
    }
    out.clear();
    report.print_summary(result);
    const auto at = out.find("rtt p50");
    return at == std::string::npos ? "" : out.substr(at, out.find(" =", at) - at);
  };
  CHECK(percentiles_of(1).empty());
  CHECK(percentiles_of(2) == "rtt p50");
  CHECK(percentiles_of(9) == "rtt p50");
  CHECK(percentiles_of(10) == "rtt p50/p90");
  CHECK(percentiles_of(100) == "rtt p50/p90/p99");
  CHECK(percentiles_of(999) == "rtt p50/p90/p99");
  CHECK(percentiles_of(1000) == "rtt p50/p90/p99/p99.9");
}

TEST_CASE_FIXTURE(ReportTest, "the calls of a method are replies, and the first line names it") {
  PingReportOptions with_method = options();
  with_method.method = "up\nper";
  PingReport report(std::move(with_method));
  const PingResult result = result_of({71us});
  report.on_start(result);
  report.on_pong(result, 1, 71us);
  CHECK(out.starts_with("PING 127.0.0.1:8080: calls of up\\nper, 56 bytes of params\n"));
  CHECK(out.find("\nreply from 127.0.0.1:8080: seq=1 time=0.071 ms\n") != std::string::npos);
}

TEST_CASE_FIXTURE(ReportTest, "times have three digits that count, as in ping") {
  PingReport report(options());
  const PingResult result = result_of({});
  for (const Duration rtt :
       {Duration(83400ns), Duration(999400ns), Duration(999600ns), Duration(1234us),
        Duration(44060us), Duration(99960us), Duration(1234567us)}) {
    report.on_pong(result, 1, rtt);
  }
  std::string expected;
  for (const char* time : {"0.083", "0.999", "1.00", "1.23", "44.1", "100", "1235"}) {
    expected += std::string("pong from 127.0.0.1:8080: seq=1 time=") + time + " ms\n";
  }
  CHECK(out == expected);
}

TEST_CASE_FIXTURE(ReportTest, "without a reply there are no times") {
  PingReport report(options());
  PingResult result = result_of({}, 3);
  result.statistics.add_error();
  report.print_summary(result);
  CHECK(out ==
        "\n--- 127.0.0.1:8080 ping statistics ---\n"
        "3 sent, 0 received, +1 errors, 100% loss, time 2003ms\n");
}

TEST_CASE_FIXTURE(ReportTest, "a pong that comes once more is marked, and counted in the footer") {
  PingReport report(options());
  PingResult result = result_of({2ms}, 1);
  result.statistics.add_duplicate();
  result.statistics.add_duplicate();
  result.statistics.add_error();
  report.on_duplicate(result, 1, 2ms);
  CHECK(out == "pong from 127.0.0.1:8080: seq=1 time=2.00 ms (DUP!)\n");
  report.print_summary(result);
  CHECK(out.find("\n2 sent, 1 received, +2 duplicates, +1 errors, 50% loss, time 2003ms\n") !=
        std::string::npos);
}

TEST_CASE_FIXTURE(ReportTest, "in JSON, a pong that comes once more has a type of its own") {
  PingReportOptions wanted = options();
  wanted.json = true;
  PingReport report(std::move(wanted));
  PingResult result = result_of({2ms});
  result.statistics.add_duplicate();
  report.on_duplicate(result, 1, 2ms);
  report.print_summary(result);
  CHECK(out.starts_with(R"({"type":"duplicate","address":"127.0.0.1:8080","seq":1,"rtt_ms":2.0)"));
  CHECK(out.find(R"("received":1,"duplicates":1,"errors":0,)") != std::string::npos);
}

TEST_CASE_FIXTURE(ReportTest, "an address that was never pinged has no footer") {
  PingReport report(options());
  report.print_summary(PingResult());
  CHECK(out.empty());
}

TEST_CASE_FIXTURE(ReportTest, "in JSON, an address that was never pinged has a summary") {
  PingReportOptions wanted = options();
  wanted.json = true;
  PingReport report(std::move(wanted));
  PingResult result;
  result.address = "./none";
  report.print_summary(result);
  CHECK(
      out ==
      R"({"type":"summary","address":"./none","sent":0,"received":0,"duplicates":0,"errors":0,"late":0,)"
      R"("loss_percent":null,"duration_ms":0.000,"rtt_ms":null})"
      "\n");
}

TEST_CASE_FIXTURE(ReportTest, "JSON lines") {
  PingReportOptions wanted = options();
  wanted.json = true;
  PingReport report(std::move(wanted));
  const PingResult result = result_of({2ms});
  report.on_start(result);
  report.on_pong(result, 1, 2ms);
  report.on_lost(result, 2, "say \"why\"");
  report.print_summary(result);
  const std::string text = out;
  CHECK(text.starts_with(
      R"({"type":"pong","address":"127.0.0.1:8080","seq":1,"rtt_ms":2.000000,"timestamp":)"));
  CHECK(text.find(R"({"type":"lost","address":"127.0.0.1:8080","seq":2,"reason":"say \"why\"",)") !=
        std::string::npos);
  CHECK(text.ends_with(
      R"({"type":"summary","address":"127.0.0.1:8080","sent":1,"received":1,"duplicates":0,"errors":0,"late":0,)"
      R"("loss_percent":0,"duration_ms":2003.000,"rtt_ms":{"min":2.000000,"avg":2.000000,)"
      R"("max":2.000000,"mdev":0.000000,"ewma":2.000000,"p50":null,"p90":null,)"
      R"("p99":null,"p99.9":null}})"
      "\n"));
  CHECK(details == std::vector<std::string>{"seq=2 to 127.0.0.1:8080 is lost: say \"why\""});
}

TEST_CASE_FIXTURE(ReportTest, "dots come and go") {
  PingReportOptions wanted = options();
  wanted.dots = true;
  wanted.lines = false;
  PingReport report(std::move(wanted));
  const PingResult result = result_of({});
  report.on_sent(result, 1);
  report.on_pong(result, 1, 1ms);
  report.on_sent(result, 2);
  report.on_lost(result, 2, "why");
  CHECK(out == ".\b \b.");
}

TEST_CASE_FIXTURE(ReportTest, "without lines, the same trouble is said once") {
  PingReportOptions wanted = options();
  wanted.lines = false;
  PingReport report(std::move(wanted));
  for (const char* text : {"refused", "refused", "reset", "refused"}) { report.on_trouble(text); }
  for (std::uint64_t seq = 1; seq < 3; ++seq) { report.on_error(result_of({}), seq, "busy"); }
  CHECK(errors == std::vector<std::string>{"refused", "reset", "cannot ping 127.0.0.1:8080: busy"});
}

TEST_CASE_FIXTURE(ReportTest, "an error reply is said with the number of its probe") {
  PingReport report(options());
  for (std::uint64_t seq = 1; seq < 3; ++seq) { report.on_error(result_of({}), seq, "busy"); }
  CHECK(errors == std::vector<std::string>{"seq=1 to 127.0.0.1:8080 failed: busy",
                                           "seq=2 to 127.0.0.1:8080 failed: busy"});
}

TEST_CASE_FIXTURE(ReportTest,
                  "the status is ping's short form, with the address when there are several") {
  PingReport report(options());
  const PingResult first = result_of({1ms, 2ms, 6ms}, 1);
  const PingResult second = result_of({}, 2);
  report.on_status_request({&first});
  CHECK(status.back() == "3/4 packets, 25% loss, min/avg/ewma/max = 1.000/3.000/1.734/6.000 ms");
  report.on_status_request({&first, &second});
  CHECK(status.back() == "127.0.0.1:8080: 0/2 packets, 100% loss");
  CHECK(out.empty());
}

TEST_CASE_FIXTURE(ReportTest, "a steady 40 ms earns a hint") {
  PingResult result = result_of({300us, 44ms, 44ms});
  SUBCASE("over TCP") {
    CHECK(result.looks_like_delayed_ack());
    PingReport report(options());
    report.print_summary(result);
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().starts_with("hint for 127.0.0.1:8080: a steady 44 ms"));
    CHECK(errors.front().find("TCP_NODELAY") != std::string::npos);
  }
  SUBCASE("not when the network is that slow") {
    result.connect_time = 40ms;
    CHECK_FALSE(result.looks_like_delayed_ack());
  }
  SUBCASE("not over a Unix socket") {
    result.over_tcp = false;
    CHECK_FALSE(result.looks_like_delayed_ack());
  }
  SUBCASE("not when they are as often faster or slower") {
    CHECK_FALSE(result_of({20ms, 30ms, 40ms, 50ms, 60ms}).looks_like_delayed_ack());
  }
  SUBCASE("not for two replies") {
    CHECK_FALSE(result_of({44ms, 44ms}).looks_like_delayed_ack());
  }
  SUBCASE("not for 60 ms") {
    CHECK_FALSE(result_of({60ms, 60ms, 60ms}).looks_like_delayed_ack());
  }
}

TEST_CASE("a limit that is exceeded is named") {
  PingLimits limits;
  limits.loss_percent = 10;
  limits.rtt.emplace_back(RttMeasure::parse("max"), 5ms);
  limits.rtt.emplace_back(RttMeasure::parse("avg"), 5ms);
  CHECK(limits.exceeded_by(result_of({1ms, 2ms})).empty());
  CHECK(limits.exceeded_by(result_of({1ms, 6ms}, 1)) ==
        std::vector<std::string>{
            "too many probes of 127.0.0.1:8080 are lost: 33.3333% of 3, more than 10%",
            "the round trips to 127.0.0.1:8080 are too long: max is 6.000 ms, more than 5 ms"});
  CHECK(limits.exceeded_by(result_of({}, 1)).size() == 1);
}

}  // namespace
}  // namespace handoff
