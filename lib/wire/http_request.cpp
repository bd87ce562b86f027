// SPDX-License-Identifier: MIT
#include "wire/http_request.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string>

namespace handoff {
namespace {

using Outcome = DecodedHttpRequest::Outcome;

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool is_alphanumeric(char letter) {
  return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= 'a' && letter <= 'z');
}

/// Returns whether the text is a token of RFC 9110: a method or the name of a field.
bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char letter) {
    return is_alphanumeric(letter) || kOthers.find(letter) != std::string_view::npos;
  });
}

/// Returns whether the text has no space and no control character.
bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char letter) { return letter > ' ' && letter != '\x7f'; });
}

/// Returns whether the text may be the value of a field.
bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char letter) {
                       return letter == '\t' || static_cast<unsigned char>(letter) >= ' ';
                     }) &&
         text.find('\x7f') == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) { return {}; }
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

/// `lower` has no capital letters.
bool equals_in_any_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char one, char other) {
    return (one >= 'A' && one <= 'Z' ? static_cast<char>(one - 'A' + 'a') : one) == other;
  });
}

/// Returns the path of a target in origin-form ("/path?query") or absolute-form
/// ("http://host/path"); nothing if it is neither.
std::optional<std::string_view> path_of(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (equals_in_any_case(target.substr(0, kScheme.size()), kScheme)) {
    const std::size_t slash = target.find('/', kScheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) { return std::nullopt; }
  return target.substr(0, target.find('?'));
}

/// The first line of a request.
struct RequestLine {
  Outcome outcome = Outcome::malformed;
  std::string_view method;
  std::string_view path;
  bool is_1_0 = false;
};

RequestLine read_request_line(std::string_view line) {
  RequestLine read;
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) { return read; }
  read.method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  const auto path = path_of(target);
  if (!is_token(read.method) || !is_visible(target) || !path) { return read; }
  const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
  const bool is_version = version.size() == 8 && version.starts_with("HTTP/") &&
                          is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
  if (!is_version) { return read; }
  read.path = *path;
  read.is_1_0 = version == "HTTP/1.0";
  read.outcome = version[5] == '1' ? Outcome::complete : Outcome::version;
  return read;
}

/// Reads the fields, each with its CRLF. Returns false if one is malformed or announces a body.
bool read_fields(std::string_view fields, HttpRequest& request) {
  while (!fields.empty()) {
    const std::size_t end = fields.find(kLineEnd);
    const std::string_view line = fields.substr(0, end);
    fields.remove_prefix(end + kLineEnd.size());
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) { return false; }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (!is_field_value(value)) { return false; }
    if (equals_in_any_case(name, "transfer-encoding")) { return false; }
    if (equals_in_any_case(name, "content-length") && value != "0") { return false; }
    if (!equals_in_any_case(name, "host")) { continue; }
    if (request.host || !is_visible(value)) { return false; }
    request.host = value;
  }
  return true;
}

}  // namespace

DecodedHttpRequest decode_http_request(std::string_view bytes, std::size_t limit) {
  const std::size_t end = bytes.substr(0, limit).find(kHeadEnd);
  if (end == std::string_view::npos) {
    // A line feed without its carriage return will never become a head.
    const std::size_t feed = bytes.substr(0, limit).find('\n');
    if (feed != std::string_view::npos && (feed == 0 || bytes[feed - 1] != '\r')) {
      return {.outcome = Outcome::malformed};
    }
    return {.outcome = bytes.size() >= limit ? Outcome::too_long : Outcome::partial};
  }
  const std::string_view head = bytes.substr(0, end + kLineEnd.size());
  const std::size_t line_end = head.find(kLineEnd);
  const RequestLine line = read_request_line(head.substr(0, line_end));
  if (line.outcome != Outcome::complete) { return {.outcome = line.outcome}; }
  DecodedHttpRequest decoded{.outcome = Outcome::complete};
  decoded.request = {.method = line.method, .path = line.path, .host = std::nullopt};
  const std::string_view fields = head.substr(line_end + kLineEnd.size());
  const bool is_sound =
      read_fields(fields, decoded.request) && (line.is_1_0 || decoded.request.host);
  if (!is_sound) { return {.outcome = Outcome::malformed}; }
  return decoded;
}

bool names_no_other_host(std::string_view host) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) { return false; }
    const std::string inner(host.substr(1, end - 1));
    return inet_pton(AF_INET6, inner.c_str(), address.data()) == 1;
  }
  const std::string name(host.substr(0, host.find(':')));
  return equals_in_any_case(name, "localhost") ||
         inet_pton(AF_INET, name.c_str(), address.data()) == 1;
}

}  // namespace handoff
