// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "os/child.hpp"
#include "rpc/method_table.hpp"

/// What is made of the output of a process behind a method, and of how it ended.
namespace handoff {

/// What output may be.
enum class OutputForm {
  json,  ///< JSON alone
  text,  ///< JSON, or any other text, which becomes a string
};

/// The text without the white space and line breaks at its end.
std::string trimmed(std::string text);

/// What a handler's whole output is as a result. An error says what is wrong with it, and calls it
/// `what`.
Result result_of_output(std::string output, OutputForm form, std::string_view what);

/// The error of a process that failed: how it ended, and in `data` the end of its stderr too.
Result failure_of_process(const ExitStatus& status, const std::string& error_tail);

/// {"stderr": ...}, or nothing when there is none.
std::string stderr_data(const std::string& error_tail);

/// How many bytes of the end of stderr an error carries.
inline constexpr std::size_t kStderrTail = 2048;

/// Appends `bytes` to the tail of stderr, and drops from its start what exceeds kStderrTail.
void append_to_tail(std::string& error_tail, std::string_view bytes);

}  // namespace handoff
