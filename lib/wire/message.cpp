// SPDX-License-Identifier: MIT
#include "wire/message.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <initializer_list>
#include <vector>

#include "wire/codec.hpp"
#include "wire/frame.hpp"
#include "wire/json_reader.hpp"

namespace handoff {
namespace {

using namespace std::string_view_literals;

/// A field of the envelope: its JSON text, and whether it came once, twice or never.
struct EnvelopeField {
  std::string_view json;
  int count = 0;

  bool is_string() const { return json.starts_with('"'); }
  bool is_number() const {
    return !json.empty() && (json.front() == '-' || (json.front() >= '0' && json.front() <= '9'));
  }
  bool is_id() const { return is_string() || is_number(); }
};

/// The fields of requests and replies, of both dialects.
enum Name : std::size_t { kIn, kParams, kId, kOut, kResult, kJsonRpc, kMethod, kError, kNames };

constexpr std::array<std::string_view, kNames> kFieldNames = {
    "in", "params", "id", "out", "result", "jsonrpc", "method", "error"};

struct Envelope {
  std::array<EnvelopeField, kNames> fields;
  bool is_object = false;

  const EnvelopeField& operator[](Name name) const { return fields[name]; }
  bool has(Name name) const { return fields[name].count > 0; }
  bool repeats(std::initializer_list<Name> names) const {
    return std::any_of(names.begin(), names.end(),
                       [this](Name name) { return fields[name].count > 1; });
  }
};

static_assert(frame::kMaxBatch == 1024);  // a message says so

/// The name that a field has; most are written without escapes.
Name name_of(const JsonReader& reader, std::string_view quoted, std::string& copy) {
  const std::string_view text = reader.unescape(quoted, copy);
  const auto* found = std::find(kFieldNames.begin(), kFieldNames.end(), text);
  return static_cast<Name>(found - kFieldNames.begin());
}

/// `depth` arrays and objects stand around it.
JsonProblem read_envelope(JsonReader& reader, int depth, Envelope& envelope) {
  envelope.is_object = true;
  EnvelopeField ignored;
  std::string copy;
  return reader.read_object(depth, [&](std::string_view quoted) -> std::string_view& {
    const Name name = name_of(reader, quoted, copy);
    EnvelopeField& field = name == kNames ? ignored : envelope.fields[name];
    ++field.count;
    return field.json;
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
  std::vector<ParsedRequest> requests;
  std::deque<std::string> names;  ///< those that have escapes

  JsonProblem parse(std::string_view body, Dialect usual, bool& is_batch);
  JsonProblem parse_batch(Dialect usual, bool& is_batch);
  JsonProblem read_message(int depth, Envelope& envelope);
  ParsedRequest judge(const Envelope& envelope, Dialect usual);
  ParsedRequest judge_article(const Envelope& envelope);
  ParsedRequest judge_json_rpc(const Envelope& envelope);
  std::string_view unescape(std::string_view json);
};

/// The text of a validated JSON string. Most have no escape and need no copy.
std::string_view MessageParser::Parser::unescape(std::string_view json) {
  if (json.find('\\') == std::string_view::npos) return json.substr(1, json.size() - 2);
  return reader.unescape(json, names.emplace_back());
}

/// What is next, to its end: the fields of an object, or another value, which is only validated.
JsonProblem MessageParser::Parser::read_message(int depth, Envelope& envelope) {
  if (reader.peek() == '{') return read_envelope(reader, depth, envelope);
  std::string_view json;
  return reader.read_value(depth, json);
}

JsonProblem MessageParser::Parser::parse(std::string_view body, Dialect usual, bool& is_batch) {
  if (const auto problem = reader.open(body); problem != JsonProblem::none) return problem;
  if (reader.peek() == '[') return parse_batch(usual, is_batch);
  Envelope envelope;
  if (const auto problem = read_message(0, envelope); problem != JsonProblem::none) return problem;
  requests.push_back(judge(envelope, usual));
  return reader.read_end();
}

/// Only JSON-RPC has batches. An array in which nothing says that it is one of JSON-RPC is one only
/// where JSON-RPC is usual.
JsonProblem MessageParser::Parser::parse_batch(Dialect usual, bool& is_batch) {
  is_batch = usual == Dialect::json_rpc;
  reader.take('[');
  if (!reader.take(']')) {
    do {
      Envelope envelope;
      if (const auto problem = read_message(1, envelope); problem != JsonProblem::none) {
        return problem;
      }
      is_batch = is_batch || envelope.has(kJsonRpc);
      // One more than are allowed is kept, to be seen.
      if (requests.size() <= frame::kMaxBatch) requests.push_back(judge_json_rpc(envelope));
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

ParsedRequest MessageParser::Parser::judge(const Envelope& envelope, Dialect usual) {
  const bool is_json_rpc =
      envelope.has(kJsonRpc) || (usual == Dialect::json_rpc && !envelope.has(kIn));
  return is_json_rpc ? judge_json_rpc(envelope) : judge_article(envelope);
}

ParsedRequest MessageParser::Parser::judge_article(const Envelope& envelope) {
  const EnvelopeField& id = envelope[kId];
  const auto invalid = [&](std::string_view message) {
    return BadRequest{ErrorCode::invalid_request, message,
                      id.count == 1 && id.is_id() ? id.json : std::string_view(), Dialect::article};
  };
  if (!envelope.is_object) return invalid("a request is an object");
  if (envelope.repeats({kIn, kParams, kId})) return invalid("a field came twice");
  if (!envelope.has(kIn)) return invalid("no field 'in'");
  if (!envelope[kIn].is_string()) return invalid("'in' is not a string");
  if (id.count == 1 && !id.is_id()) return invalid("'id' is neither a string nor a number");
  Request request;
  request.method = unescape(envelope[kIn].json);
  if (envelope.has(kParams)) request.params = envelope[kParams].json;
  request.id = id.json;
  return request;
}

/// As the JSON-RPC 2.0 specification, section 4, has it. Params that are null count as none.
ParsedRequest MessageParser::Parser::judge_json_rpc(const Envelope& envelope) {
  const EnvelopeField& id = envelope[kId];
  const bool id_is_good = id.is_id() || id.json == "null";
  const auto invalid = [&](std::string_view message) {
    return BadRequest{ErrorCode::invalid_request, message,
                      id.count == 1 && id_is_good ? id.json : std::string_view(),
                      Dialect::json_rpc};
  };
  const std::string_view params = envelope.has(kParams) ? envelope[kParams].json : "null";
  if (!envelope.is_object) return invalid("a request is an object");
  if (envelope.repeats({kJsonRpc, kMethod, kParams, kId})) return invalid("a field came twice");
  if (!envelope[kJsonRpc].is_string() || unescape(envelope[kJsonRpc].json) != "2.0") {
    return invalid("'jsonrpc' is not \"2.0\"");
  }
  if (!envelope.has(kMethod)) return invalid("no field 'method'");
  if (!envelope[kMethod].is_string()) return invalid("'method' is not a string");
  if (!is_structured(params) && params != "null") {
    return invalid("'params' is neither an object nor an array");
  }
  if (id.count == 1 && !id_is_good)
    return invalid("'id' is neither a string nor a number nor null");
  return Request{unescape(envelope[kMethod].json), params, id.json, Dialect::json_rpc};
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
    requests.assign(1, BadRequest{ErrorCode::parse_error, describe(problem), {}, usual});
    is_batch = false;
  }
  return {requests, is_batch};
}

bool MessageParser::is_json(std::string_view text) {
  return validate(parser_->reader, text, 1) == JsonProblem::none;
}

Reply MessageParser::parse_reply(std::string_view body) {
  parser_->names.clear();
  Envelope envelope;
  JsonReader& reader = parser_->reader;
  JsonProblem problem = reader.open(body);
  if (problem == JsonProblem::none) problem = parser_->read_message(0, envelope);
  if (problem == JsonProblem::none) problem = reader.read_end();
  if (problem != JsonProblem::none) {
    throw ProtocolError(fmt::format("reply: invalid JSON: {}", describe(problem)));
  }
  const std::string_view id = envelope[kId].json;
  const EnvelopeField& result = envelope[kResult];
  if (envelope.has(kJsonRpc)) {
    if (result.count + envelope[kError].count != 1 || envelope.repeats({kJsonRpc, kId})) {
      throw ProtocolError("reply: not one of 'result' and 'error'");
    }
    if (envelope.has(kError)) return {"error", envelope[kError].json, id, body};
    return {"", result.json, id, body};
  }
  if (envelope[kOut].count != 1 || result.count != 1 || envelope.repeats({kId}) ||
      !envelope[kOut].is_string()) {
    throw ProtocolError("reply: not an object with one 'out' and one 'result'");
  }
  return {parser_->unescape(envelope[kOut].json), result.json, id, body};
}

std::optional<std::string> json_problem(std::string_view text) {
  thread_local JsonReader reader;
  const std::string copy = padded(text);
  const JsonProblem problem = validate(reader, std::string_view(copy).substr(0, text.size()), 1);
  if (problem == JsonProblem::none) return std::nullopt;
  return std::string(describe(problem));
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
  if (dialect == Dialect::article) {
    out.append(R"({"out":)"sv).append(quoted_name).append(R"(,"result":)"sv).append(result);
    if (!id.empty()) out.append(R"(,"id":)"sv).append(id);
  } else {
    out.append(R"({"jsonrpc":"2.0","result":)").append(result);
    out.append(R"(,"id":)").append(id.empty() ? "null" : id);
  }
  out.push_back('}');
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
