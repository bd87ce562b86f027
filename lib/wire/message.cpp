// SPDX-License-Identifier: MIT
#include "wire/message.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <simdjson.h>

#include "wire/codec.hpp"
#include "wire/frame.hpp"

namespace handoff {
namespace {

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

template <typename Value>
error_code validate_scalar(Value& value, ondemand::json_type type) {
  switch (type) {
    case ondemand::json_type::string: {
      std::string_view text;
      return value.get_string().get(text);
    }
    case ondemand::json_type::number: {
      double number = 0;
      return value.get_double().get(number);
    }
    case ondemand::json_type::boolean: {
      bool truth = false;
      return value.get_bool().get(truth);
    }
    default: {
      bool null = false;
      if (const auto error = simdjson::simdjson_result<bool>(value.is_null()).get(null)) {
        return error;
      }
      return null ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
    }
  }
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
    default: return validate_scalar(value, type);
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
    if (const auto error = validate_scalar(document, type)) return error;
    return check_end(document);
  }
  // simdjson 3.0 misjudges words and numbers at the root: "falsey" passes, "null " does not.
  if (nlohmann::json::accept(text)) return simdjson::SUCCESS;
  return type == ondemand::json_type::number ? simdjson::NUMBER_ERROR : simdjson::INCORRECT_TYPE;
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

std::string_view trim_end(const char* begin, const char* end) {
  while (end > begin && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t')) {
    --end;
  }
  return {begin, static_cast<std::size_t>(end - begin)};
}

/// Validates `value` and finds its text: from its first token to the token that follows it.
error_code read_field(ondemand::document& document, ondemand::value value, EnvelopeField& field) {
  ++field.count;
  const char* begin = value.raw_json_token().data();
  if (const auto error = value.type().get(field.type)) return error;
  if (const auto error = validate(value, 1)) return error;
  const char* end = nullptr;
  if (const auto error = document.current_location().get(end)) return error;
  field.json = trim_end(begin, end);
  return simdjson::SUCCESS;
}

bool is_id(const EnvelopeField& field) {
  return field.type == ondemand::json_type::string || field.type == ondemand::json_type::number;
}

}  // namespace

struct MessageParser::Parser {
  ondemand::parser ondemand;
  /// What a name in the envelope says, unescaped; the parser's own buffer is used for all else.
  std::string name;

  /// Reads an object with the fields `first`, `second` and "id". Returns the first error;
  /// `is_object` tells whether the body was valid JSON of another type.
  error_code read(std::string_view body, std::string_view first_name, EnvelopeField& first,
                  std::string_view second_name, EnvelopeField& second, EnvelopeField& id,
                  bool& is_object) {
    is_object = true;
    ondemand::document document;
    const simdjson::padded_string_view padded(body.data(), body.size(),
                                              body.size() + simdjson::SIMDJSON_PADDING);
    if (const auto error = ondemand.iterate(padded).get(document)) return error;
    ondemand::json_type type{};
    if (const auto error = document.type().get(type)) return error;
    if (type != ondemand::json_type::object) {
      is_object = false;
      return validate_document(document, body);
    }
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return error;
    EnvelopeField ignored;
    for (auto entry : object) {
      if (const auto error = entry.error()) return error;
      ondemand::field field = entry.value_unsafe();
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      EnvelopeField& target = key == first_name    ? first
                              : key == second_name ? second
                              : key == "id"        ? id
                                                   : ignored;
      if (const auto error = read_field(document, field.value(), target)) return error;
    }
    return check_end(document);
  }

  /// The text of a validated JSON string. Most have no escape and need no copy.
  std::string_view unescape(std::string_view json) {
    const std::string_view inside = json.substr(1, json.size() - 2);
    if (inside.find('\\') == std::string_view::npos) return inside;
    name = nlohmann::json::parse(json).get<std::string>();
    return name;
  }
};

MessageParser::MessageParser() : parser_(std::make_unique<Parser>()) {}
MessageParser::~MessageParser() = default;

std::variant<Request, BadRequest> MessageParser::parse_request(std::string_view body) {
  EnvelopeField method;
  EnvelopeField params;
  EnvelopeField id;
  bool is_object = true;
  if (const auto error = parser_->read(body, "in", method, "params", params, id, is_object)) {
    return BadRequest{ErrorCode::parse_error, describe(error), {}};
  }
  const auto invalid = [&](std::string_view message) {
    return BadRequest{ErrorCode::invalid_request, message,
                      id.count == 1 && is_id(id) ? id.json : std::string_view()};
  };
  if (!is_object) return invalid("a request is an object");
  if (method.count > 1 || params.count > 1 || id.count > 1) return invalid("a field came twice");
  if (method.count == 0) return invalid("no field 'in'");
  if (method.type != ondemand::json_type::string) return invalid("'in' is not a string");
  if (id.count == 1 && !is_id(id)) return invalid("'id' is neither a string nor a number");
  Request request;
  request.method = parser_->unescape(method.json);
  if (params.count == 1) request.params = params.json;
  request.id = id.json;
  return request;
}

Reply MessageParser::parse_reply(std::string_view body) {
  EnvelopeField out;
  EnvelopeField result;
  EnvelopeField id;
  bool is_object = true;
  if (const auto error = parser_->read(body, "out", out, "result", result, id, is_object)) {
    throw ProtocolError(fmt::format("reply: invalid JSON: {}", describe(error)));
  }
  if (!is_object || out.count != 1 || result.count != 1 || id.count > 1 ||
      out.type != ondemand::json_type::string) {
    throw ProtocolError("reply: not an object with one 'out' and one 'result'");
  }
  return {parser_->unescape(out.json), result.json, id.json, body};
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
  ErrorResult error;
  const auto json = nlohmann::ordered_json::parse(result, nullptr, false);
  if (!json.is_object()) return error;
  if (const auto code = json.find("code"); code != json.end() && code->is_number_integer()) {
    error.code = code->get<int>();
  }
  if (const auto text = json.find("message"); text != json.end() && text->is_string()) {
    error.message = text->get<std::string>();
  }
  if (const auto data = json.find("data"); data != json.end()) error.data = data->dump();
  return error;
}

void append_request(std::string& out, std::string_view method, std::string_view params,
                    std::string_view id) {
  out.append(R"({"in":)").append(quote_json(method));
  out.append(R"(,"params":)").append(params);
  if (!id.empty()) out.append(R"(,"id":)").append(id);
  out.push_back('}');
}

void append_reply(std::string& out, std::string_view quoted_name, std::string_view result,
                  std::string_view id) {
  out.append(R"({"out":)").append(quoted_name).append(R"(,"result":)").append(result);
  if (!id.empty()) out.append(R"(,"id":)").append(id);
  out.push_back('}');
}

void append_error(std::string& out, ErrorCode code, std::string_view message, std::string_view data,
                  std::string_view id) {
  std::string result =
      fmt::format(R"({{"code":{},"message":{})", static_cast<int>(code), quote_json(message));
  if (!data.empty()) result.append(R"(,"data":)").append(data);
  result.push_back('}');
  append_reply(out, R"("error")", result, id);
}

std::string quote_json(std::string_view text) {
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
