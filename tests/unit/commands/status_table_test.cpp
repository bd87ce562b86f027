// SPDX-License-Identifier: MIT
#include "commands/status_table.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace handoff {
namespace {

using namespace std::chrono_literals;

constexpr const char* kBefore =
    R"({"state":"ready","pid":10,"version":"0.1.0","pass":"connection","balance":"least",)"
    R"("listeners":["./s",":80"],"age":3725.5,"connections":3,"requests":1000,)"
    R"("errors":{"-32601":2},"calls":1,"durations":[[0.001,50]],)"
    R"("rescued":{"moved":4,"answered":1,"closed":0},"lost":0,"workers":[)"
    R"({"worker":1,"pid":11,"state":"ready","connections":2,"requests":600,"errors":{},)"
    R"("calls":1,"restarts":0,"age":59}]})";
constexpr const char* kNow =
    R"({"state":"reloading","pid":10,"version":"0.1.0","pass":"connection","balance":"least",)"
    R"("listeners":["./s",":80"],"age":3727.5,"connections":3,"requests":1500,)"
    R"("errors":{"-32601":2,"-32003":1},"calls":2,"durations":[[0.001,149],[0.004,51]],)"
    R"("rescued":{"moved":4,"answered":1,"closed":0},"lost":7,"workers":[)"
    R"({"worker":1,"pid":11,"state":"draining","connections":2,"requests":605,)"
    R"("errors":{"-32003":1},"calls":1,"restarts":0,"age":61},)"
    R"({"worker":1,"pid":12,"state":"ready","connections":1,"requests":9,"errors":{},)"
    R"("calls":0,"restarts":1,"age":90061}]})";

TEST_CASE("a status is a table, with rates and the 99th percentile since the one before") {
  CHECK(
      status_table(kNow, kBefore, 2s) ==
      "rpc-master 0.1.0, pid 10: reloading for 1h 2m, passes each connection (least), on ./s :80\n"
      "3 connections, 250 requests/s, 2 calls, p99 4 ms, 3 errors, 5 rescued, 7 lost\n"
      "\n"
      "WORKER      PID  STATE    CONNECTIONS  REQUESTS/S  CALLS  ERRORS  RESTARTS  AGE\n"
      "     1       11  draining           2         2.5      1       1         0  1m 1s\n"
      "     1       12  ready              1           -      0       0         1  1d 1h");
}

TEST_CASE("the first table has no rates") {
  const auto table = status_table(kBefore, "", 0s);
  REQUIRE(table);
  CHECK(table->find("3 connections, - requests/s, 1 calls, p99 1 ms,") != std::string::npos);
  CHECK(table->find("2           -      1") != std::string::npos);
}

TEST_CASE("a counter that has become smaller is another master's") {
  const auto table = status_table(kBefore, kNow, 2s);
  REQUIRE(table);
  CHECK(table->find(", - requests/s, 1 calls, p99 -,") != std::string::npos);
}

TEST_CASE("what is no status is no table, and numbers of another kind count as none") {
  CHECK(!status_table("7", "", 1s));
  CHECK(!status_table("{", "", 1s));
  CHECK(!status_table(R"({"workers":3,"state":"ready"})", "", 1s));
  CHECK(!status_table(R"({"workers":[]})", "", 1s));
  CHECK(status_table(R"({"workers":[1,{"pid":"x"}],"state":"a\nb","durations":[1,[2]],"errors":3})",
                     "[]", 1s));
}

}  // namespace
}  // namespace handoff
