// SPDX-License-Identifier: MIT
#include "wire/message.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "wire/codec.hpp"
#include "wire/frame.hpp"
#include "wire/json_position.hpp"
#include "wire/json_reader.hpp"

namespace handoff {
namespace {

using namespace std::string_view_literals;

bool is_string(std::string_view json) {
  return json.starts_with('"');
}

bool is_number(std::string_view json) {
  return !json.empty() && (json.front() == '-' || (json.front() >= '0' && json.front() <= '9'));
}

bool is_id(std::string_view json) {
  return is_string(json) || is_number(json);
}

/// The fields of requests and replies, of both dialects.
enum Name : std::size_t { kIn, kParams, kId, kOut, kResult, kJsonRpc, kMethod, kError, kNames };

/// Whether it is `name`, when it is as long.
template <std::size_t size>
bool is_name(std::string_view text, const char (&name)[size]) {
  return std::memcmp(text.data(), name, size - 1) == 0;
}

/// kNames for any other.
Name name_of(std::string_view text) {
  switch (text.size()) {
    case 2: return is_name(text, "in") ? kIn : is_name(text, "id") ? kId : kNames;
    case 3: return is_name(text, "out") ? kOut : kNames;
    case 5: return is_name(text, "error") ? kError : kNames;
    case 6:
      if (is_name(text, "params")) return kParams;
      return is_name(text, "result") ? kResult : is_name(text, "method") ? kMethod : kNames;
    case 7: return is_name(text, "jsonrpc") ? kJsonRpc : kNames;
    default: return kNames;
  }
}

/// The JSON texts of the fields, and which came once or more often.
struct Envelope {
  bool is_object = false;
  unsigned seen = 0;
  unsigned repeated = 0;
  std::array<std::string_view, kNames + 1> json;  ///< of those seen; the last is of other names

  static constexpr unsigned bit(Name name) { return 1U << name; }
  /// To be used again; the texts need not be touched for that.
  void clear() {
    is_object = false;
    seen = repeated = 0;
  }
  std::string_view operator[](Name name) const {
    return has(name) ? json[name] : std::string_view();
  }
  bool has(Name name) const { return (seen & bit(name)) != 0; }
  template <typename... Names>
  bool repeats(Names... names) const {
    return (repeated & (bit(names) | ...)) != 0;
  }
  std::string_view& add(Name name) {
    repeated |= seen & bit(name);
    seen |= bit(name);
    return json[name];
  }
};

static_assert(frame::kMaxBatch == 1024);  // a message says so

/// `depth` arrays and objects stand around it.
JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope) {
  envelope.is_object = true;
  std::string copy;
  return reader.read_object(depth, [&](std::string_view quoted) -> std::string_view& {
    return envelope.add(name_of(reader.unescape(quoted, copy)));
  });
}

/// The whole of `text`, which is no object or need not be looked into.
JsonProblem validate(JsonReader& reader, std::string_view text, int depth) {
  std::string_view json;
  if (const auto problem = reader.open(text); problem != JsonProblem::none) return problem;
  if (const auto problem = reader.read_value(depth, json); problem != JsonProblem::none) {
    return problem;
  }
  return reader.read_end();
}

/// With one look at how much room there is.
template <typename... Parts>
void append_all(std::string& out, Parts... parts) {
  const std::size_t start = out.size();
  out.resize(start + (parts.size() + ...));
  char* at = out.data() + start;
  ((at = std::copy(parts.begin(), parts.end(), at)), ...);
}

/// With the readable bytes behind it that the reader wants.
std::string padded(std::string_view text) {
  std::string copy;
  copy.reserve(text.size() + ReceiveBuffer::kPadding);
  copy.append(text).append(ReceiveBuffer::kPadding, ' ');
  return copy;
}

}  // namespace

struct MessageParser::Parser {
  JsonReader reader;
  Envelope envelope;
  std::vector<ParsedRequest> requests;
  std::deque<std::string> names;  ///< those that have escapes
  std::string problem_text;       ///< of the last body that was no JSON

  JsonProblem parse(std::string_view body, Dialect usual, bool& is_batch);
  JsonProblem parse_batch(Dialect usual, bool& is_batch);
  JsonProblem read_message(int depth);
  void judge(Dialect usual);
  void judge_article(ParsedRequest& judged);
  void judge_json_rpc(ParsedRequest& judged);
  std::string_view unescape(std::string_view json);
};

/// The text of a validated JSON string.
std::string_view MessageParser::Parser::unescape(std::string_view json) {
  std::string copy;
  const std::string_view text = reader.unescape(json, copy);
  return copy.empty() ? text : names.emplace_back(std::move(copy));
}

/// What is next, to its end: the fields of an object, or another value, which is only validated.
JsonProblem MessageParser::Parser::read_message(int depth) {
  envelope.clear();
  if (reader.peek() == '{') return read_envelope(reader, depth, envelope);
  std::string_view json;
  return reader.read_value(depth, json);
}

JsonProblem MessageParser::Parser::parse(std::string_view body, Dialect usual, bool& is_batch) {
  if (const auto problem = reader.open(body); problem != JsonProblem::none) return problem;
  if (reader.peek() == '[') return parse_batch(usual, is_batch);
  if (const auto problem = read_message(0); problem != JsonProblem::none) return problem;
  judge(usual);
  return reader.read_end();
}

/// Only JSON-RPC has batches. An array in which nothing says that it is one of JSON-RPC is one only
/// where JSON-RPC is usual.
JsonProblem MessageParser::Parser::parse_batch(Dialect usual, bool& is_batch) {
  is_batch = usual == Dialect::json_rpc;
  reader.take('[');
  if (!reader.take(']')) {
    do {
      if (const auto problem = read_message(1); problem != JsonProblem::none) return problem;
      is_batch = is_batch || envelope.has(kJsonRpc);
      // One more than are allowed is kept, to be seen.
      if (requests.size() <= frame::kMaxBatch) judge_json_rpc(requests.emplace_back());
    } while (reader.take(','));
    if (!reader.take(']')) return JsonProblem::punctuation;
  }
  std::string_view problem;
  if (!is_batch) {
    problem = "a request is an object";
  } else if (requests.empty()) {
    problem = "an empty batch";
  } else if (requests.size() > frame::kMaxBatch) {
    problem = "a batch of more than 1024 requests";
  } else {
    return reader.read_end();
  }
  const Dialect dialect = is_batch ? Dialect::json_rpc : Dialect::article;
  is_batch = false;
  requests.assign(1, BadRequest{ErrorCode::invalid_request, problem, {}, dialect});
  return reader.read_end();
}

void MessageParser::Parser::judge(Dialect usual) {
  const bool is_json_rpc =
      envelope.has(kJsonRpc) || (usual == Dialect::json_rpc && !envelope.has(kIn));
  return is_json_rpc ? judge_json_rpc(requests.emplace_back())
                     : judge_article(requests.emplace_back());
}

void MessageParser::Parser::judge_article(ParsedRequest& judged) {
  const std::string_view id = envelope[kId];
  const auto refuse = [&](std::string_view message) {
    const bool answers_it = is_id(id) && !envelope.repeats(kId);
    judged = BadRequest{ErrorCode::invalid_request, message, answers_it ? id : std::string_view(),
                        Dialect::article};
  };
  if (!envelope.is_object) return refuse("a request is an object");
  if (envelope.repeats(kIn, kParams, kId)) return refuse("a field came twice");
  if (!envelope.has(kIn)) return refuse("no field 'in'");
  if (!is_string(envelope[kIn])) return refuse("'in' is not a string");
  if (envelope.has(kId) && !is_id(id)) return refuse("'id' is neither a string nor a number");
  auto& request = std::get<Request>(judged);
  request.method = unescape(envelope[kIn]);
  if (envelope.has(kParams)) request.params = envelope[kParams];
  request.id = id;
}

/// As the JSON-RPC 2.0 specification, section 4, has it. Params that are null count as none.
void MessageParser::Parser::judge_json_rpc(ParsedRequest& judged) {
  const std::string_view id = envelope[kId];
  const bool id_is_good = is_id(id) || id == "null";
  const auto refuse = [&](std::string_view message) {
    const bool answers_it = id_is_good && !envelope.repeats(kId);
    judged = BadRequest{ErrorCode::invalid_request, message, answers_it ? id : std::string_view(),
                        Dialect::json_rpc};
  };
  const std::string_view params = envelope.has(kParams) ? envelope[kParams] : "null";
  if (!envelope.is_object) return refuse("a request is an object");
  if (envelope.repeats(kJsonRpc, kMethod, kParams, kId)) return refuse("a field came twice");
  if (!is_string(envelope[kJsonRpc]) || unescape(envelope[kJsonRpc]) != "2.0") {
    return refuse("'jsonrpc' is not \"2.0\"");
  }
  if (!envelope.has(kMethod)) return refuse("no field 'method'");
  if (!is_string(envelope[kMethod])) return refuse("'method' is not a string");
  if (!is_structured(params) && params != "null") {
    return refuse("'params' is neither an object nor an array");
  }
  if (envelope.has(kId) && !id_is_good) {
    return refuse("'id' is neither a string nor a number nor null");
  }
  auto& request = std::get<Request>(judged);
  request.method = unescape(envelope[kMethod]);
  request.params = params;
  request.id = id;
  request.dialect = Dialect::json_rpc;
}

MessageParser::MessageParser() : parser_(std::make_unique<Parser>()) {}
MessageParser::~MessageParser() = default;

ParsedBody MessageParser::parse_body(std::string_view body, Dialect usual) {
  std::vector<ParsedRequest>& requests = parser_->requests;
  requests.clear();
  if (!parser_->names.empty()) parser_->names.clear();
  bool is_batch = false;
  const JsonProblem problem = parser_->parse(body, usual, is_batch);
  if (problem != JsonProblem::none) {
    parser_->problem_text = explain(parser_->reader, problem);
    requests.assign(1, BadRequest{ErrorCode::parse_error, parser_->problem_text, {}, usual});
    is_batch = false;
  }
  return {requests, is_batch};
}

bool MessageParser::is_json(std::string_view text) {
  return validate(parser_->reader, text, 1) == JsonProblem::none;
}

Reply MessageParser::parse_reply(std::string_view body) {
  parser_->names.clear();
  const Envelope& envelope = parser_->envelope;
  JsonReader& reader = parser_->reader;
  JsonProblem problem = reader.open(body);
  if (problem == JsonProblem::none) problem = parser_->read_message(0);
  if (problem == JsonProblem::none) problem = reader.read_end();
  if (problem != JsonProblem::none) {
    throw ProtocolError(fmt::format("the reply is invalid JSON: {}", explain(reader, problem)));
  }
  const std::string_view id = envelope[kId];
  if (envelope.has(kJsonRpc)) {
    if (envelope.has(kResult) == envelope.has(kError) ||
        envelope.repeats(kResult, kError, kJsonRpc, kId)) {
      throw ProtocolError("the reply does not have one of 'result' and 'error'");
    }
    if (envelope.has(kError)) return {"error", envelope[kError], id, body};
    return {"", envelope[kResult], id, body};
  }
  if (!envelope.has(kOut) || !envelope.has(kResult) || envelope.repeats(kOut, kResult, kId) ||
      !is_string(envelope[kOut])) {
    throw ProtocolError("the reply is not an object with one 'out' and one 'result'");
  }
  return {parser_->unescape(envelope[kOut]), envelope[kResult], id, body};
}

std::optional<std::string> json_problem(std::string_view text) {
  thread_local JsonReader reader;
  const std::string copy = padded(text);
  const JsonProblem problem = validate(reader, std::string_view(copy).substr(0, text.size()), 1);
  if (problem == JsonProblem::none) return std::nullopt;
  return explain(reader, problem);
}

ErrorResult parse_error_result(std::string_view result) {
  thread_local JsonReader reader;
  const std::string copy = padded(result);
  std::string_view code;
  std::string_view message;
  std::string_view data;
  std::string_view ignored;
  ErrorResult error;
  if (reader.open(std::string_view(copy).substr(0, result.size())) != JsonProblem::none) {
    return error;
  }
  std::string unescaped;
  const auto field_of = [&](std::string_view quoted) -> std::string_view& {
    const std::string_view name = reader.unescape(quoted, unescaped);
    return name == "code" ? code : name == "message" ? message : name == "data" ? data : ignored;
  };
  if (reader.read_object(1, field_of) != JsonProblem::none) return error;
  std::from_chars(code.data(), code.data() + code.size(), error.code);
  if (message.starts_with('"')) error.message = reader.unescape(message, unescaped);
  error.data = data;
  return error;
}

bool is_structured(std::string_view json) {
  return json.starts_with('{') || json.starts_with('[');
}

void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id) {
  if (dialect == Dialect::article) {
    out.append(R"({"in":)").append(quote_json(method)).append(R"(,"params":)").append(params);
  } else {
    out.append(R"({"jsonrpc":"2.0","method":)").append(quote_json(method));
    if (params != "null") out.append(R"(,"params":)").append(params);
  }
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

std::string quote_json(std::string_view text) {
  const bool is_plain = std::all_of(text.begin(), text.end(), [](char byte) {
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
  });
  if (is_plain) return std::string("\"").append(text).append("\"");
  using nlohmann::json;
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string minify_json(std::string_view json) {
  std::string line(json.size(), '\0');
  std::size_t size = 0;
  if (simdjson::minify(json.data(), json.size(), line.data(), size) != simdjson::SUCCESS) {
    return std::string(json);
  }
  line.resize(size);
  return line;
}

std::optional<std::string> json_string(std::string_view json) {
  if (!json.starts_with('"')) return std::nullopt;
  return nlohmann::json::parse(json).get<std::string>();
}

}  // namespace handoff
