// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "fuzz/support.hpp"
#include "wire/proxy_header.hpp"

/// The header of a proxy means the same however it arrives, and never more bytes than it has are
/// taken from the connection.
namespace handoff::fuzz {
namespace {

using Outcome = DecodedProxyHeader::Outcome;

constexpr std::size_t kLongest = 16 + limits::kMaxProxyBlock;

bool is_same(const DecodedProxyHeader& one, const DecodedProxyHeader& other) {
  return one.outcome == other.outcome && one.size == other.size && one.why == other.why &&
         one.source.family == other.source.family && one.source.address == other.source.address &&
         one.source.port == other.source.port && one.source.path == other.source.path;
}

/// Decodes the input as a stage does: it looks at what has arrived, and takes what belongs to the
/// header.
DecodedProxyHeader decode_pieces(std::string_view input) {
  Pieces pieces(input);
  std::string taken;
  DecodedProxyHeader decoded = decode_proxy_header(taken);
  while (!pieces.done() && decoded.outcome == Outcome::partial) {
    const std::size_t before = taken.size();
    taken.append(pieces.next());
    decoded = decode_proxy_header(taken);
    if (decoded.outcome == Outcome::malformed) { break; }
    check(decoded.size > before && decoded.size <= taken.size(), "a piece has bytes of the header");
    taken.resize(decoded.size);
  }
  return decoded;
}

void run(std::string_view input) {
  const DecodedProxyHeader whole = decode_proxy_header(input);
  check(is_same(decode_pieces(input), whole), "pieces decode as the whole does");
  switch (whole.outcome) {
    case Outcome::complete: {
      check(whole.size <= input.size() && whole.size <= kLongest, "a header is within its limit");
      check(is_same(decode_proxy_header(input.substr(0, whole.size)), whole),
            "what follows a header does not change it");
      const DecodedProxyHeader cut = decode_proxy_header(input.substr(0, whole.size - 1));
      check(cut.outcome == Outcome::partial, "a header is not complete before its last byte");
      check(whole.source.path.size() <= 108, "a path fits into an address");
      break;
    }
    case Outcome::partial:
      check(whole.size == input.size() && input.size() < kLongest,
            "all bytes of a part belong to the header");
      break;
    case Outcome::malformed: check(!whole.why.empty(), "a refusal has a reason"); break;
  }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
