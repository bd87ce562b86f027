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
#include <initializer_list>
#include <vector>

#include "wire/codec.hpp"
#include "wire/frame.hpp"
#include "wire/json_scalar.hpp"

namespace handoff {
namespace {

using namespace std::string_view_literals;
namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

static_assert(ReceiveBuffer::kPadding >= simdjson::SIMDJSON_PADDING);

/// On-Demand checks only what is read, so everything is read. Returns the first error.
error_code validate(ondemand::value value, int depth);

error_code validate_array(ondemand::array array, int depth) {
  if (depth > frame::kMaxDepth) return simdjson::DEPTH_ERROR;
  for (auto element : array) {
    if (const auto error = element.error()) return error;
    if (const auto error = validate(element.value_unsafe(), depth)) return error;
  }
  return simdjson::SUCCESS;
}

error_code validate_object(ondemand::object object, int depth) {
  if (depth > frame::kMaxDepth) return simdjson::DEPTH_ERROR;
  for (auto entry : object) {
    if (const auto error = entry.error()) return error;
    ondemand::field field = entry.value_unsafe();
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return error;
    if (const auto error = validate(field.value(), depth)) return error;
  }
  return simdjson::SUCCESS;
}

constexpr bool is_space(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

template <typename Value>
error_code validate_string(Value& value) {
  std::string_view text;
  return value.get_string().get(text);
}

/// A string inside an array or object. The parser's first pass has found all that can be wrong with
/// it but an escape. Left unread it is skipped by whoever iterates, who would take it for a key if
/// a colon came behind it.
error_code validate_string_inside(ondemand::value value) {
  const std::string_view token = value.raw_json_token();
  if (token.find('\\') != std::string_view::npos) return validate_string(value);
  return *(token.data() + token.size()) == ':' ? simdjson::TAPE_ERROR : simdjson::SUCCESS;
}

/// `text` is all of it.
error_code validate_scalar(ondemand::json_type type, std::string_view text) {
  if (type == ondemand::json_type::number) {
    return is_json_number(text) ? simdjson::SUCCESS : simdjson::NUMBER_ERROR;
  }
  return is_json_word(text) ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
}

error_code validate(ondemand::value value, int depth) {
  ondemand::json_type type{};
  if (const auto error = value.type().get(type)) return error;
  switch (type) {
    case ondemand::json_type::array: {
      ondemand::array array;
      if (const auto error = value.get_array().get(array)) return error;
      return validate_array(array, depth + 1);
    }
    case ondemand::json_type::object: {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return error;
      return validate_object(object, depth + 1);
    }
    case ondemand::json_type::string: return validate_string_inside(value);
    // Left unread: whoever iterates skips it.
    default: return validate_scalar(type, trimmed(value.raw_json_token()));
  }
}

error_code check_end(ondemand::document& document) {
  const char* next = nullptr;
  const auto error = document.current_location().get(next);
  if (error == simdjson::OUT_OF_BOUNDS) return simdjson::SUCCESS;
  return error != simdjson::SUCCESS ? error : simdjson::TRAILING_CONTENT;
}

/// The whole of `text`, which `document` was made of; `depth` is what stands around it already.
error_code validate_document(ondemand::document& document, std::string_view text, int depth = 0) {
  ondemand::json_type type{};
  if (const auto error = document.type().get(type)) return error;
  if (type == ondemand::json_type::array || type == ondemand::json_type::object) {
    ondemand::value value;
    if (const auto error = document.get_value().get(value)) return error;
    if (const auto error = validate(value, depth)) return error;
    return check_end(document);
  }
  if (type == ondemand::json_type::string) {
    if (const auto error = validate_string(document)) return error;
    return check_end(document);
  }
  return validate_scalar(type, trimmed(text));
}

std::string_view describe(error_code error) {
  switch (error) {
    case simdjson::DEPTH_ERROR: return "nested too deeply";
    case simdjson::UTF8_ERROR: return "invalid UTF-8";
    case simdjson::EMPTY: return "empty";
    case simdjson::STRING_ERROR: return "invalid escape in a string";
    case simdjson::UNCLOSED_STRING: return "a string is not closed";
    case simdjson::UNESCAPED_CHARS: return "a control character in a string";
    case simdjson::NUMBER_ERROR: return "invalid number";
    case simdjson::TRAILING_CONTENT: return "something follows the value";
    case simdjson::INCORRECT_TYPE:
    case simdjson::T_ATOM_ERROR:
    case simdjson::F_ATOM_ERROR:
    case simdjson::N_ATOM_ERROR: return "unknown word";
    default: return "misplaced or missing punctuation";
  }
}

/// A field of the envelope: its JSON text, and whether it came once, twice or never.
struct EnvelopeField {
  std::string_view json;
  ondemand::json_type type{};
  int count = 0;
};

/// Validates `value`, around which stand `depth` arrays and objects, and finds its text: from its
/// first token to the token that follows it.
error_code read_field(ondemand::document& document, ondemand::value value, int depth,
                      EnvelopeField& field) {
  ++field.count;
  const std::string_view first = value.raw_json_token();
  if (const auto error = value.type().get(field.type)) return error;
  if (const auto error = validate(value, depth)) return error;
  const bool has_parts =
      field.type == ondemand::json_type::array || field.type == ondemand::json_type::object;
  field.json = trimmed(first);
  if (!has_parts) return simdjson::SUCCESS;
  const char* end = nullptr;
  if (const auto error = document.current_location().get(end)) return error;
  field.json = trimmed({first.data(), static_cast<std::size_t>(end - first.data())});
  return simdjson::SUCCESS;
}

/// The fields of requests and replies, of both dialects.
enum Name : std::size_t { kIn, kParams, kId, kOut, kResult, kJsonRpc, kMethod, kError, kNames };

constexpr std::array<std::string_view, kNames> kFieldNames = {
    "in", "params", "id", "out", "result", "jsonrpc", "method", "error"};

/// Whether these bytes, of which more follow, begin with the name and its closing quote.
template <std::size_t size>
bool is_key(const char* key, const char (&name)[size]) {
  return std::memcmp(key, name, size - 1) == 0;
}

/// The name that a field's key is. What is written as usual need not be copied.
error_code read_key(ondemand::field& field, Name& name) {
  const char* key = field.key().raw();
  if (is_key(key, "in\"")) return name = kIn, simdjson::SUCCESS;
  if (is_key(key, "params\"")) return name = kParams, simdjson::SUCCESS;
  if (is_key(key, "id\"")) return name = kId, simdjson::SUCCESS;
  if (is_key(key, "jsonrpc\"")) return name = kJsonRpc, simdjson::SUCCESS;
  if (is_key(key, "method\"")) return name = kMethod, simdjson::SUCCESS;
  std::string_view text;
  const auto error = field.unescaped_key().get(text);
  const auto* found = std::find(kFieldNames.begin(), kFieldNames.end(), text);
  name = static_cast<Name>(found - kFieldNames.begin());
  return error;
}

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

error_code read_envelope(ondemand::document& document, ondemand::object object, int depth,
                         Envelope& envelope) {
  envelope.is_object = true;
  EnvelopeField ignored;
  for (auto entry : object) {
    if (const auto error = entry.error()) return error;
    ondemand::field field = entry.value_unsafe();
    Name name{};
    if (const auto error = read_key(field, name)) return error;
    EnvelopeField& target = name == kNames ? ignored : envelope.fields[name];
    if (const auto error = read_field(document, field.value(), depth, target)) return error;
  }
  return simdjson::SUCCESS;
}

bool is_id(const EnvelopeField& field) {
  return field.type == ondemand::json_type::string || field.type == ondemand::json_type::number;
}

bool is_string(const EnvelopeField& field) {
  return field.type == ondemand::json_type::string;
}

}  // namespace

struct MessageParser::Parser {
  ondemand::parser ondemand;
  std::vector<ParsedRequest> requests;
  /// What names with escapes say; the parser's own buffer is used for all else.
  std::deque<std::string> names;

  error_code parse(std::string_view body, Dialect usual, bool& is_batch);
  error_code parse_batch(ondemand::document& document, Dialect usual, bool& is_batch);
  error_code read_object(ondemand::document& document, Envelope& envelope);
  ondemand::document document_of(std::string_view body, error_code& error);
  ParsedRequest judge(const Envelope& envelope, Dialect usual);
  ParsedRequest judge_article(const Envelope& envelope);
  ParsedRequest judge_json_rpc(const Envelope& envelope);
  std::string_view unescape(std::string_view json);
};

/// The text of a validated JSON string. Most have no escape and need no copy.
std::string_view MessageParser::Parser::unescape(std::string_view json) {
  const std::string_view inside = json.substr(1, json.size() - 2);
  if (inside.find('\\') == std::string_view::npos) return inside;
  return names.emplace_back(nlohmann::json::parse(json).get<std::string>());
}

ondemand::document MessageParser::Parser::document_of(std::string_view body, error_code& error) {
  ondemand::document document;
  const simdjson::padded_string_view padded(body.data(), body.size(),
                                            body.size() + simdjson::SIMDJSON_PADDING);
  error = ondemand.iterate(padded).get(document);
  return document;
}

error_code MessageParser::Parser::read_object(ondemand::document& document, Envelope& envelope) {
  ondemand::object object;
  if (const auto error = document.get_object().get(object)) return error;
  if (const auto error = read_envelope(document, object, 1, envelope)) return error;
  return check_end(document);
}

error_code MessageParser::Parser::parse(std::string_view body, Dialect usual, bool& is_batch) {
  error_code error{};
  ondemand::document document = document_of(body, error);
  if (error) return error;
  ondemand::json_type type{};
  if ((error = document.type().get(type))) return error;
  if (type == ondemand::json_type::array) return parse_batch(document, usual, is_batch);
  Envelope envelope;
  error = type == ondemand::json_type::object ? read_object(document, envelope)
                                              : validate_document(document, body);
  if (!error) requests.push_back(judge(envelope, usual));
  return error;
}

/// Only JSON-RPC has batches. An array in which nothing says that it is one of JSON-RPC is one only
/// where JSON-RPC is usual.
error_code MessageParser::Parser::parse_batch(ondemand::document& document, Dialect usual,
                                              bool& is_batch) {
  ondemand::array array;
  if (const auto error = document.get_array().get(array)) return error;
  is_batch = usual == Dialect::json_rpc;
  for (auto element : array) {
    if (const auto error = element.error()) return error;
    ondemand::value value = element.value_unsafe();
    ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return error;
    Envelope envelope;
    if (type == ondemand::json_type::object) {
      ondemand::object object;
      if (const auto error = value.get_object().get(object)) return error;
      if (const auto error = read_envelope(document, object, 2, envelope)) return error;
    } else if (const auto error = validate(value, 1)) {
      return error;
    }
    is_batch = is_batch || envelope.has(kJsonRpc);
    // One more than are allowed is kept, to be seen.
    if (requests.size() <= frame::kMaxBatch) requests.push_back(judge_json_rpc(envelope));
  }
  if (const auto error = check_end(document)) return error;
  std::string_view problem;
  if (!is_batch) {
    problem = "a request is an object";
  } else if (requests.empty()) {
    problem = "an empty batch";
  } else if (requests.size() > frame::kMaxBatch) {
    problem = "a batch of more than 1024 requests";
  } else {
    return simdjson::SUCCESS;
  }
  const Dialect dialect = is_batch ? Dialect::json_rpc : Dialect::article;
  is_batch = false;
  requests.assign(1, BadRequest{ErrorCode::invalid_request, problem, {}, dialect});
  return simdjson::SUCCESS;
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
                      id.count == 1 && is_id(id) ? id.json : std::string_view(), Dialect::article};
  };
  if (!envelope.is_object) return invalid("a request is an object");
  if (envelope.repeats({kIn, kParams, kId})) return invalid("a field came twice");
  if (!envelope.has(kIn)) return invalid("no field 'in'");
  if (!is_string(envelope[kIn])) return invalid("'in' is not a string");
  if (id.count == 1 && !is_id(id)) return invalid("'id' is neither a string nor a number");
  Request request;
  request.method = unescape(envelope[kIn].json);
  if (envelope.has(kParams)) request.params = envelope[kParams].json;
  request.id = id.json;
  return request;
}

/// As the JSON-RPC 2.0 specification, section 4, has it. Params that are null count as none.
ParsedRequest MessageParser::Parser::judge_json_rpc(const Envelope& envelope) {
  const EnvelopeField& id = envelope[kId];
  const bool id_is_good = is_id(id) || id.json == "null";
  const auto invalid = [&](std::string_view message) {
    return BadRequest{ErrorCode::invalid_request, message,
                      id.count == 1 && id_is_good ? id.json : std::string_view(),
                      Dialect::json_rpc};
  };
  const std::string_view params = envelope.has(kParams) ? envelope[kParams].json : "null";
  if (!envelope.is_object) return invalid("a request is an object");
  if (envelope.repeats({kJsonRpc, kMethod, kParams, kId})) return invalid("a field came twice");
  if (!is_string(envelope[kJsonRpc]) || unescape(envelope[kJsonRpc].json) != "2.0") {
    return invalid("'jsonrpc' is not \"2.0\"");
  }
  if (!envelope.has(kMethod)) return invalid("no field 'method'");
  if (!is_string(envelope[kMethod])) return invalid("'method' is not a string");
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
  if (const auto error = parser_->parse(body, usual, is_batch)) {
    requests.assign(1, BadRequest{ErrorCode::parse_error, describe(error), {}, usual});
    is_batch = false;
  }
  return {requests, is_batch};
}

bool MessageParser::is_json(std::string_view text) {
  error_code error{};
  ondemand::document document = parser_->document_of(text, error);
  return error == simdjson::SUCCESS && validate_document(document, text, 1) == simdjson::SUCCESS;
}

Reply MessageParser::parse_reply(std::string_view body) {
  parser_->names.clear();
  Envelope envelope;
  error_code error{};
  ondemand::document document = parser_->document_of(body, error);
  ondemand::json_type type{};
  if (!error) error = document.type().get(type);
  if (!error) {
    error = type == ondemand::json_type::object ? parser_->read_object(document, envelope)
                                                : validate_document(document, body);
  }
  if (error) throw ProtocolError(fmt::format("reply: invalid JSON: {}", describe(error)));
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
      !is_string(envelope[kOut])) {
    throw ProtocolError("reply: not an object with one 'out' and one 'result'");
  }
  return {parser_->unescape(envelope[kOut].json), result.json, id, body};
}

std::optional<std::string> json_problem(std::string_view text) {
  thread_local ondemand::parser parser;
  const simdjson::padded_string padded(text);
  ondemand::document document;
  auto error = parser.iterate(padded).get(document);
  if (error == simdjson::SUCCESS) error = validate_document(document, text, 1);
  if (error == simdjson::SUCCESS) return std::nullopt;
  return std::string(describe(error));
}

ErrorResult parse_error_result(std::string_view result) {
  thread_local ondemand::parser parser;
  ErrorResult error;
  const simdjson::padded_string padded(result);
  ondemand::document document;
  ondemand::object object;
  if (parser.iterate(padded).get(document) || document.get_object().get(object)) return error;
  for (auto entry : object) {
    std::string_view key;
    EnvelopeField field;
    if (entry.error() || entry.unescaped_key().get(key)) return error;
    const std::string name(key);
    if (read_field(document, entry.value(), 1, field)) return error;
    if (name == "code" && field.type == ondemand::json_type::number) {
      std::from_chars(field.json.data(), field.json.data() + field.json.size(), error.code);
    } else if (name == "message" && is_string(field)) {
      error.message = nlohmann::json::parse(field.json).get<std::string>();
    } else if (name == "data") {
      error.data = field.json;
    }
  }
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
