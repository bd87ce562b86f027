// SPDX-License-Identifier: MIT
#include "wire/message_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "wire/json_text.hpp"

namespace handoff {
namespace {

using namespace std::string_view_literals;

/// With one look at how much room there is.
template <typename... Parts>
void append_all(std::string& out, Parts... parts) {
  const std::size_t start = out.size();
  out.resize(start + (parts.size() + ...));
  char* at = out.data() + start;
  ((at = std::copy(parts.begin(), parts.end(), at)), ...);
}

}  // namespace

void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id) {
  if (dialect == Dialect::article) {
    out.append(R"({"in":)");
    append_quoted(out, method);
    return append_all(out, R"(,"params":)"sv, params, id.empty() ? ""sv : R"(,"id":)"sv, id, "}"sv);
  }
  out.append(R"({"jsonrpc":"2.0","method":)");
  append_quoted(out, method);
  if (params != "null") out.append(R"(,"params":)").append(params);
  if (!id.empty()) out.append(R"(,"id":)").append(id);
  out.push_back('}');
}

void append_reply(std::string& out, Dialect dialect, std::string_view quoted_name,
                  std::string_view result, std::string_view id) {
  if (dialect == Dialect::json_rpc) {
    return append_all(out, R"({"jsonrpc":"2.0","result":)"sv, result, R"(,"id":)"sv,
                      id.empty() ? "null"sv : id, "}"sv);
  }
  append_all(out, R"({"out":)"sv, quoted_name, R"(,"result":)"sv, result,
             id.empty() ? ""sv : R"(,"id":)"sv, id, "}"sv);
}

void append_error(std::string& out, Dialect dialect, ErrorCode code, std::string_view message,
                  std::string_view data, std::string_view id) {
  std::string error =
      fmt::format(R"({{"code":{},"message":{})", static_cast<int>(code), quote_json(message));
  if (!data.empty()) error.append(R"(,"data":)").append(data);
  error.push_back('}');
  if (dialect == Dialect::article) return append_reply(out, dialect, R"("error")", error, id);
  out.append(R"({"jsonrpc":"2.0","error":)").append(error);
  out.append(R"(,"id":)").append(id.empty() ? "null" : id).push_back('}');
}

}  // namespace handoff
