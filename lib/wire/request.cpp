// SPDX-License-Identifier: MIT
#include "wire/request.hpp"

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "wire/envelope.hpp"
#include "wire/json_position.hpp"
#include "wire/json_reader.hpp"
#include "wire/json_text.hpp"
#include "wire/limits.hpp"

namespace handoff {
namespace {

bool is_string(std::string_view json) {
  return json.starts_with('"');
}

bool is_number(std::string_view json) {
  return !json.empty() && (json.front() == '-' || (json.front() >= '0' && json.front() <= '9'));
}

bool is_id(std::string_view json) {
  return is_string(json) || is_number(json);
}

static_assert(limits::kMaxBatch == 1024);  // a message says so

}  // namespace

struct RequestParser::Parser {
  JsonReader reader;
  Envelope envelope;
  std::vector<ParsedRequest> requests;
  std::deque<std::string> names;  ///< the unescaped names of methods that had escapes
  std::string problem_text;       ///< what was wrong with the last body that was not JSON

  inline JsonProblem parse(std::string_view body, Dialect usual, bool& is_batch);
  JsonProblem parse_batch(Dialect usual, bool& is_batch);
  inline void judge(Dialect usual);
  void judge_article(ParsedRequest& judged);
  void judge_json_rpc(ParsedRequest& judged);
  /// Returns the text of a validated JSON string.
  std::string_view unescape(std::string_view json) {
    return reader.has_escapes() ? unescape_any(json) : JsonReader::unquote(json);
  }
  std::string_view unescape_any(std::string_view json);
};

std::string_view RequestParser::Parser::unescape_any(std::string_view json) {
  std::string copy;
  const std::string_view text = reader.unescape(json, copy);
  return copy.empty() ? text : names.emplace_back(std::move(copy));
}

JsonProblem RequestParser::Parser::parse(std::string_view body, Dialect usual, bool& is_batch) {
  if (read_plain_envelope(body, envelope)) {
    judge(usual);
    return JsonProblem::none;
  }
  if (const auto problem = reader.open(body); problem != JsonProblem::none) { return problem; }
  if (reader.peek() == '[') { return parse_batch(usual, is_batch); }
  if (const auto problem = read_envelope(reader, 0, envelope); problem != JsonProblem::none) {
    return problem;
  }
  judge(usual);
  return reader.read_end();
}

/// Only JSON-RPC has batches. An array in which no message claims to be JSON-RPC counts as a batch
/// only if `usual` is JSON-RPC.
JsonProblem RequestParser::Parser::parse_batch(Dialect usual, bool& is_batch) {
  is_batch = usual == Dialect::json_rpc;
  reader.take('[');
  if (!reader.take(']')) {
    do {
      if (const auto problem = read_envelope(reader, 1, envelope); problem != JsonProblem::none) {
        return problem;
      }
      is_batch = is_batch || envelope.has(Envelope::json_rpc);
      // One more request than allowed is kept, so that the excess is noticed.
      if (requests.size() <= limits::kMaxBatch) { judge_json_rpc(requests.emplace_back()); }
    } while (reader.take(','));
    if (!reader.take(']')) { return JsonProblem::punctuation; }
  }
  std::string_view problem;
  if (!is_batch) {
    problem = "a request is an object";
  } else if (requests.empty()) {
    problem = "an empty batch";
  } else if (requests.size() > limits::kMaxBatch) {
    problem = "a batch of more than 1024 requests";
  } else {
    return reader.read_end();
  }
  const Dialect dialect = is_batch ? Dialect::json_rpc : Dialect::article;
  is_batch = false;
  requests.assign(1, BadRequest{ErrorCode::invalid_request, problem, {}, dialect});
  return reader.read_end();
}

void RequestParser::Parser::judge(Dialect usual) {
  const bool is_json_rpc = envelope.has(Envelope::json_rpc) ||
                           (usual == Dialect::json_rpc && !envelope.has(Envelope::in));
  return is_json_rpc ? judge_json_rpc(requests.emplace_back())
                     : judge_article(requests.emplace_back());
}

void RequestParser::Parser::judge_article(ParsedRequest& judged) {
  const std::string_view id = envelope[Envelope::id];
  const auto refuse = [&](std::string_view message) {
    const bool answers_it = is_id(id) && !envelope.repeats(Envelope::id);
    judged = BadRequest{ErrorCode::invalid_request, message, answers_it ? id : std::string_view(),
                        Dialect::article};
  };
  if (!envelope.is_object) { return refuse("a request is an object"); }
  if (envelope.repeats(Envelope::in, Envelope::params, Envelope::id)) {
    return refuse("a field came twice");
  }
  if (!envelope.has(Envelope::in)) { return refuse("no field 'in'"); }
  if (!is_string(envelope[Envelope::in])) { return refuse("'in' is not a string"); }
  if (envelope.has(Envelope::id) && !is_id(id)) {
    return refuse("'id' is neither a string nor a number");
  }
  auto& request = std::get<Request>(judged);
  request.method = unescape(envelope[Envelope::in]);
  if (envelope.has(Envelope::params)) { request.params = envelope[Envelope::params]; }
  request.id = id;
}

/// The rules are those of the JSON-RPC 2.0 specification, section 4; params that are null count as
/// absent.
void RequestParser::Parser::judge_json_rpc(ParsedRequest& judged) {
  const std::string_view id = envelope[Envelope::id];
  const bool id_is_good = is_id(id) || id == "null";
  const auto refuse = [&](std::string_view message) {
    const bool answers_it = id_is_good && !envelope.repeats(Envelope::id);
    judged = BadRequest{ErrorCode::invalid_request, message, answers_it ? id : std::string_view(),
                        Dialect::json_rpc};
  };
  const std::string_view params =
      envelope.has(Envelope::params) ? envelope[Envelope::params] : "null";
  if (!envelope.is_object) { return refuse("a request is an object"); }
  if (envelope.repeats(Envelope::json_rpc, Envelope::method, Envelope::params, Envelope::id)) {
    return refuse("a field came twice");
  }
  if (!is_string(envelope[Envelope::json_rpc]) || unescape(envelope[Envelope::json_rpc]) != "2.0") {
    return refuse("'jsonrpc' is not \"2.0\"");
  }
  if (!envelope.has(Envelope::method)) { return refuse("no field 'method'"); }
  if (!is_string(envelope[Envelope::method])) { return refuse("'method' is not a string"); }
  if (!is_structured(params) && params != "null") {
    return refuse("'params' is neither an object nor an array");
  }
  if (envelope.has(Envelope::id) && !id_is_good) {
    return refuse("'id' is neither a string nor a number nor null");
  }
  auto& request = std::get<Request>(judged);
  request.method = unescape(envelope[Envelope::method]);
  request.params = params;
  request.id = id;
  request.dialect = Dialect::json_rpc;
}

RequestParser::RequestParser() : parser_(std::make_unique<Parser>()) {}
RequestParser::~RequestParser() = default;

ParsedBody RequestParser::parse(std::string_view body, Dialect usual) {
  std::vector<ParsedRequest>& requests = parser_->requests;
  requests.clear();
  if (!parser_->names.empty()) { parser_->names.clear(); }
  bool is_batch = false;
  const JsonProblem problem = parser_->parse(body, usual, is_batch);
  if (problem != JsonProblem::none) {
    parser_->problem_text = explain(parser_->reader, problem);
    requests.assign(1, BadRequest{ErrorCode::parse_error, parser_->problem_text, {}, usual});
    is_batch = false;
  }
  return {requests, is_batch};
}

}  // namespace handoff
