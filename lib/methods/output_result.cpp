// SPDX-License-Identifier: MIT
#include "methods/output_result.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <utility>

#include <handoff/wire/json_text.hpp>

namespace handoff {

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ' ||
                           text.back() == '\t')) {
    text.pop_back();
  }
  return text;
}

std::string stderr_data(const std::string& error_tail) {
  const std::string text = trimmed(error_tail);
  return text.empty() ? "" : R"({"stderr":)" + quote_json(text) + "}";
}

Result failure_of_process(const ExitStatus& status, const std::string& error_tail) {
  nlohmann::ordered_json data;
  if (status.signal != 0) {
    data["signal"] = status.signal;
  } else {
    data["status"] = status.code;
  }
  data["stderr"] = trimmed(error_tail);
  using nlohmann::json;
  return Result::error(ErrorCode::handler_failed, status.text(),
                       data.dump(-1, ' ', false, json::error_handler_t::replace));
}

Result result_of_output(std::string output, OutputForm form, std::string_view what) {
  const auto problem = json_problem(output);
  if (!problem) { return Result::success(std::move(output)); }
  if (form == OutputForm::text) { return Result::success(quote_json(output)); }
  return Result::error(
      ErrorCode::handler_failed,
      fmt::format("{} is not JSON: {} (rpc-worker --text takes it as a string)", what, *problem));
}

void append_to_tail(std::string& error_tail, std::string_view bytes) {
  error_tail.append(bytes);
  if (error_tail.size() > kStderrTail) { error_tail.erase(0, error_tail.size() - kStderrTail); }
}

}  // namespace handoff
