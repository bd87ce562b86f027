// SPDX-License-Identifier: MIT
#include "master/status.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <handoff/wire/errors.hpp>

namespace handoff {
namespace {

using nlohmann::json;

TEST_CASE("a status tells the totals, the errors that there were, and what became of connections") {
  MasterStatus status;
  status.totals.requests = 9;
  status.totals.active_calls = 2;
  status.totals.errors[ledger::error_counter(ErrorCode::method_not_found)] = 3;
  status.totals.errors.back() = 1;
  status.rescued = {5, 6, 7};
  status.lost = 8;
  status.refused_headers = 3;
  const json said = json::parse(to_json_text(status));
  CHECK(said["requests"] == 9);
  CHECK(said["calls"] == 2);
  CHECK(said["errors"] == json({{"-32601", 3}, {"other", 1}}));
  CHECK(said["lost"] == 8);
  CHECK(said["refused_headers"] == 3);
  CHECK(said["rescued"] == json({{"moved", 5}, {"answered", 6}, {"closed", 7}}));
}

TEST_CASE("each worker has the requests, errors and calls that it has counted itself") {
  WorkerStatus worker;
  worker.totals.requests = 4;
  worker.totals.active_calls = 1;
  worker.totals.errors[ledger::error_counter(ErrorCode::busy)] = 2;
  const json said = json::parse(to_json_text({worker, WorkerStatus()}));
  CHECK(said[0]["requests"] == 4);
  CHECK(said[0]["calls"] == 1);
  CHECK(said[0]["errors"] == json({{"-32003", 2}}));
  CHECK(said[1]["errors"] == json::object());
}

}  // namespace
}  // namespace handoff
