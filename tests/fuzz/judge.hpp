// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "fuzz/support.hpp"
#include "wire/receive_buffer.hpp"

/// A second opinion on bodies: what handoff-wire(7) and JSON-RPC 2.0 say of a document that
/// another parser has read.
namespace handoff::fuzz {

using nlohmann::json;

/// How often each field of an object came: a document keeps only the last.
using Counts = std::map<std::string, int>;

/// A body as nlohmann reads it.
struct Document {
  bool is_json = false;  ///< valid, not too deep
  int depth = 0;
  json value;
  std::vector<Counts> objects;  ///< it, when it is an object, or the objects among its elements
};

inline Document read(std::string_view body) {
  Document document;
  int level = 0;  // where the keys of `objects` stand
  const json::parser_callback_t look = [&](int depth, json::parse_event_t event, json& parsed) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    if (opens) { document.depth = std::max(document.depth, depth + 1); }
    if (opens && depth == 0) { level = event == json::parse_event_t::array_start ? 2 : 1; }
    if (event == json::parse_event_t::object_start && depth + 1 == level) {
      document.objects.emplace_back();
    }
    if (event == json::parse_event_t::key && depth == level) {
      ++document.objects.back()[parsed.get<std::string>()];
    }
    return true;
  };
  // To nlohmann a NUL byte is the end, and a byte order mark is nothing.
  if (body.find('\0') != std::string_view::npos || body.starts_with("\xEF\xBB\xBF")) {
    return document;
  }
  document.value = json::parse(body, look, false);
  document.is_json = !document.value.is_discarded() && document.depth <= limits::kMaxDepth;
  return document;
}

inline json value_of(std::string_view text) {
  return json::parse(text);
}

/// A request that must be accepted or refused, and as what.
struct Verdict {
  bool accepted = false;
  ErrorCode code = ErrorCode::invalid_request;
  Dialect dialect = Dialect::article;
  std::string method;
  json params;
  json id = json::value_t::discarded;  ///< so when there is none to answer under
};

inline Verdict judge_article(const json& object, Counts& counts) {
  Verdict verdict;
  const bool id_is_good =
      counts["id"] == 1 && (object["id"].is_string() || object["id"].is_number());
  if (id_is_good) { verdict.id = object["id"]; }
  if (counts["params"] == 1) { verdict.params = object["params"]; }
  verdict.accepted = counts["in"] == 1 && object["in"].is_string() && counts["params"] <= 1 &&
                     (counts["id"] == 0 || id_is_good);
  if (verdict.accepted) { verdict.method = object["in"]; }
  return verdict;
}

inline Verdict judge_json_rpc(const json& value, Counts& counts) {
  Verdict verdict;
  verdict.dialect = Dialect::json_rpc;
  if (!value.is_object()) { return verdict; }
  const bool id_is_good = counts["id"] == 1 && (value["id"].is_string() ||
                                                value["id"].is_number() || value["id"].is_null());
  if (id_is_good) { verdict.id = value["id"]; }
  if (counts["params"] == 1) { verdict.params = value["params"]; }
  verdict.accepted = counts["jsonrpc"] == 1 && value["jsonrpc"] == "2.0" && counts["method"] == 1 &&
                     value["method"].is_string() && counts["params"] <= 1 &&
                     (verdict.params.is_null() || verdict.params.is_structured()) &&
                     (counts["id"] == 0 || id_is_good);
  if (verdict.accepted) { verdict.method = value["method"]; }
  return verdict;
}

struct Verdicts {
  std::vector<Verdict> requests;
  bool is_batch = false;
};

inline Verdicts judge_array(const json& array, std::vector<Counts>& objects, Dialect usual) {
  const bool is_json_rpc =
      usual == Dialect::json_rpc ||
      std::any_of(objects.begin(), objects.end(), [](Counts& counts) { return counts["jsonrpc"]; });
  if (!is_json_rpc || array.empty() || array.size() > limits::kMaxBatch) {
    Verdict verdict;
    verdict.dialect = is_json_rpc ? Dialect::json_rpc : Dialect::article;
    return {{verdict}, false};
  }
  Verdicts verdicts;
  verdicts.is_batch = true;
  auto counts = objects.begin();
  Counts none;
  for (const json& element : array) {
    verdicts.requests.push_back(judge_json_rpc(element, element.is_object() ? *counts++ : none));
  }
  return verdicts;
}

inline Verdicts judge(Document& document, Dialect usual) {
  Verdict refusal;
  refusal.dialect = usual;
  if (!document.is_json) {
    refusal.code = ErrorCode::parse_error;
    return {{refusal}, false};
  }
  if (document.value.is_array()) { return judge_array(document.value, document.objects, usual); }
  if (!document.value.is_object()) { return {{refusal}, false}; }
  Counts& counts = document.objects.front();
  const bool is_json_rpc =
      counts["jsonrpc"] > 0 || (usual == Dialect::json_rpc && counts["in"] == 0);
  return {{is_json_rpc ? judge_json_rpc(document.value, counts)
                       : judge_article(document.value, counts)},
          false};
}

/// Checks that `view` is as promised: part of the body, or a text of the parser's.
inline void check_view(std::string_view view, std::string_view body, std::string_view otherwise) {
  check_readable(view);
  check(lies_within(view, body) || view == otherwise, "a view lies in the body");
}

inline void check_id(std::string_view id, std::string_view body, const json& expected) {
  check_view(id, body, "");
  check(id.empty() ? expected.is_discarded() : value_of(id) == expected, "the id is the body's");
}

/// Checks what the parser made of `body` against what another one made of it.
inline void check_parsed(const ParsedRequest& parsed, std::string_view body,
                         const Verdict& expected) {
  const auto* request = std::get_if<Request>(&parsed);
  check((request != nullptr) == expected.accepted, "a request is judged as another judges it");
  if (request == nullptr) {
    const auto& bad = std::get<BadRequest>(parsed);
    check_readable(bad.message);
    check(!bad.message.empty(), "a refusal says why");
    check(bad.code == expected.code, "a refusal has the right code");
    check(bad.dialect == expected.dialect, "a refusal has the right dialect");
    return check_id(bad.id, body, expected.id);
  }
  check_readable(request->method);
  check_view(request->params, body, "null");
  check(request->dialect == expected.dialect, "a request has the right dialect");
  check(request->method == expected.method, "the method is the body's");
  check(value_of(request->params) == expected.params, "the params are the body's");
  check_id(request->id, body, expected.id);
}

inline void check_body(const ParsedBody& parsed, std::string_view body, const Verdicts& expected) {
  check(parsed.is_batch == expected.is_batch, "a batch is seen as another sees it");
  check(parsed.requests.size() == expected.requests.size(), "each request is judged");
  for (std::size_t i = 0; i < parsed.requests.size(); ++i) {
    check_parsed(parsed.requests[i], body, expected.requests[i]);
  }
}

/// Puts `text` where a parser may read it, with padding of bytes that must not matter.
class PlacedBody {
 public:
  explicit PlacedBody(std::string_view text, char padding = '\0') : buffer_(text.size()) {
    buffer_.append(text);
    std::fill_n(buffer_.bytes().data() + text.size(), ReceiveBuffer::kPadding, padding);
  }
  std::string_view text() { return text_of(buffer_.bytes()); }

 private:
  ReceiveBuffer buffer_;
};

}  // namespace handoff::fuzz
