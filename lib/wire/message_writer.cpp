// SPDX-License-Identifier: MIT
#include "wire/message_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "wire/json_text.hpp"

namespace handoff {
namespace {

using namespace std::string_view_literals;

template <std::size_t size>
constexpr std::size_t length_of(const char (&)[size]) {
  return size - 1;
}
constexpr std::size_t length_of(std::string_view text) {
  return text.size();
}

/// The compiler knows the length of a literal and copies it with few instructions; a separate
/// overload keeps that knowledge.
template <std::size_t size>
char* put(char* at, const char (&literal)[size]) {
  return std::copy_n(literal, size - 1, at);
}
char* put(char* at, std::string_view text) {
  return std::copy(text.begin(), text.end(), at);
}

/// Appends all parts with one check of the string's capacity.
template <typename... Parts>
void append_all(std::string& out, const Parts&... parts) {
  const std::size_t start = out.size();
  out.resize(start + (length_of(parts) + ...));
  char* at = out.data() + start;
  ((at = put(at, parts)), ...);
}

std::string_view before_id(std::string_view id) {
  return id.empty() ? ""sv : R"(,"id":)"sv;
}

}  // namespace

void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id) {
  if (dialect == Dialect::json_rpc) {
    out.append(R"({"jsonrpc":"2.0","method":)").append(quote_json(method));
    if (params != "null") { out.append(R"(,"params":)").append(params); }
    if (!id.empty()) { out.append(R"(,"id":)").append(id); }
    out.push_back('}');
  } else if (!is_plain_text(method)) {
    const std::string quoted = quote_json(method);
    append_all(out, R"({"in":)", quoted, R"(,"params":)", params, before_id(id), id, "}");
  } else {
    append_all(out, R"({"in":")", method, R"(","params":)", params, before_id(id), id, "}");
  }
}

void append_reply(std::string& out, Dialect dialect, std::string_view quoted_name,
                  std::string_view result, std::string_view id) {
  if (dialect == Dialect::json_rpc) {
    append_all(out, R"({"jsonrpc":"2.0","result":)", result, R"(,"id":)",
               id.empty() ? "null"sv : id, "}");
  } else {
    append_all(out, R"({"out":)", quoted_name, R"(,"result":)", result, before_id(id), id, "}");
  }
}

void append_error(std::string& out, Dialect dialect, ErrorCode code, std::string_view message,
                  std::string_view data, std::string_view id) {
  std::string error =
      fmt::format(R"({{"code":{},"message":{})", static_cast<int>(code), quote_json(message));
  if (!data.empty()) { error.append(R"(,"data":)").append(data); }
  error.push_back('}');
  if (dialect == Dialect::article) { return append_reply(out, dialect, R"("error")", error, id); }
  out.append(R"({"jsonrpc":"2.0","error":)").append(error);
  out.append(R"(,"id":)").append(id.empty() ? "null" : id).push_back('}');
}

}  // namespace handoff
