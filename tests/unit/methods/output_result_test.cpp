// SPDX-License-Identifier: MIT
#include "methods/output_result.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <string>

namespace handoff {
namespace {

TEST_CASE("output that is JSON is the result, whatever form is wanted") {
  for (const OutputForm form : {OutputForm::json, OutputForm::text}) {
    const Result result = result_of_output(R"({"a": 1})", form, "the output");
    CHECK(!result.is_error());
    CHECK(result.json == R"({"a": 1})");
  }
}

TEST_CASE("output that is no JSON is a string, or an error that says so and how to take it") {
  CHECK(result_of_output("a\"b", OutputForm::text, "the output").json == R"("a\"b")");
  const Result refused = result_of_output("hello", OutputForm::json, "the output");
  CHECK(refused.code == ErrorCode::handler_failed);
  CHECK(refused.message.starts_with("the output is not JSON: "));
  CHECK(refused.message.ends_with("(rpc-worker --text takes it as a string)"));
}

TEST_CASE("the error of a process tells its status or its signal, and the end of its stderr") {
  const Result failed = failure_of_process({3, 0}, "no such file\n");
  CHECK(failed.code == ErrorCode::handler_failed);
  CHECK(failed.message == "exit status 3");
  CHECK(failed.json == R"({"status":3,"stderr":"no such file"})");
  const Result killed = failure_of_process({0, SIGKILL}, "\xff");
  CHECK(killed.message == "signal 9 (Killed)");
  CHECK(killed.json == "{\"signal\":9,\"stderr\":\"\xef\xbf\xbd\"}");
}

TEST_CASE("an empty stderr is no data") {
  CHECK(stderr_data(" \r\n\t").empty());
  CHECK(stderr_data("why\n") == R"({"stderr":"why"})");
}

TEST_CASE("the tail of stderr keeps its last bytes") {
  std::string tail;
  append_to_tail(tail, "begin");
  CHECK(tail == "begin");
  append_to_tail(tail, std::string(kStderrTail - 3, 'x') + "end");
  CHECK(tail == std::string(kStderrTail - 3, 'x') + "end");
}

}  // namespace
}  // namespace handoff
