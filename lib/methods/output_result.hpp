// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "os/child.hpp"
#include "rpc/method_table.hpp"

/// Makes a result of the output of a process behind a method, and of how it ended.
namespace handoff {

/// The form that output must have.
enum class OutputForm {
  json,  ///< only JSON
  text,  ///< JSON, or any other text, which becomes a string
};

/// Returns the text without the white space and line breaks at its end.
std::string trimmed(std::string text);

/// Returns the result that a handler's whole output means. The error for output in another form
/// says what is wrong with it, and calls it `what`.
Result result_of_output(std::string output, OutputForm form, std::string_view what);

/// Returns the error of a process that has failed: how it ended, and in `data` also the end of its
/// stderr.
Result failure_of_process(const ExitStatus& status, const std::string& error_tail);

/// Returns {"stderr": ...}, or an empty text if the process wrote nothing there.
std::string stderr_data(const std::string& error_tail);

/// The most bytes of the end of stderr that an error carries.
inline constexpr std::size_t kStderrTail = 2048;

/// Appends `bytes` to the tail of stderr, and removes from its start what exceeds kStderrTail.
void append_to_tail(std::string& error_tail, std::string_view bytes);

}  // namespace handoff
