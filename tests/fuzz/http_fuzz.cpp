// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "fuzz/support.hpp"
#include "wire/http_request.hpp"

/// A request of HTTP means the same however it arrives.
namespace handoff::fuzz {
namespace {

using Outcome = DecodedHttpRequest::Outcome;

void check_request(const HttpRequest& request, std::string_view input) {
  check(!request.method.empty() && lies_within(request.method, input), "a request has a method");
  check(request.path.starts_with('/'), "a path begins with a slash");
  for (const std::string_view text : {request.path, request.host.value_or("")}) {
    check(text.find_first_of(std::string_view("\0\r\n \t\x7f", 6)) == std::string_view::npos,
          "a path and a host are one word");
  }
}

void run(std::string_view input) {
  const std::size_t limit = limits::kMaxStatusRequest;
  const DecodedHttpRequest whole = decode_http_request(input, limit);
  std::string arrived;
  DecodedHttpRequest decoded;
  for (Pieces pieces(input); !pieces.done() && decoded.outcome == Outcome::partial;) {
    arrived.append(pieces.next());
    decoded = decode_http_request(arrived, limit);
  }
  check(decoded.outcome == whole.outcome, "pieces decode as the whole does");
  if (whole.outcome == Outcome::partial) {
    check(input.size() < limit, "a part is within the limit");
  }
  if (whole.outcome != Outcome::complete) { return; }
  check_request(whole.request, input);
  check(decoded.request.method == whole.request.method &&
            decoded.request.path == whole.request.path &&
            decoded.request.host == whole.request.host,
        "pieces are the same request");
  if (whole.request.host) { names_no_other_host(*whole.request.host); }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
