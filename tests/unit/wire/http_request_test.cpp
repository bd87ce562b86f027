// SPDX-License-Identifier: MIT
#include "wire/http_request.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace handoff {
namespace {

using Outcome = DecodedHttpRequest::Outcome;

constexpr std::size_t kLimit = 200;

DecodedHttpRequest decode(std::string_view bytes) {
  return decode_http_request(bytes, kLimit);
}

TEST_CASE("a request has a method, a path and a host") {
  const DecodedHttpRequest decoded =
      decode("GET /ready HTTP/1.1\r\nHost: localhost:9100\r\nAccept: */*\r\n\r\nmore");
  REQUIRE(decoded.outcome == Outcome::complete);
  CHECK(decoded.request.method == "GET");
  CHECK(decoded.request.path == "/ready");
  CHECK(decoded.request.host == "localhost:9100");
}

TEST_CASE("a request of HTTP/1.0 needs no host") {
  const DecodedHttpRequest decoded = decode("HEAD / HTTP/1.0\r\n\r\n");
  REQUIRE(decoded.outcome == Outcome::complete);
  CHECK(decoded.request.method == "HEAD");
  CHECK_FALSE(decoded.request.host);
}

TEST_CASE("the path is without the query and without the host of a whole URL") {
  for (const char* target : {"/a", "/a?b=c", "http://x/a", "HTTP://x:80/a?b", "/a?http://x/c"}) {
    CAPTURE(target);
    const std::string text = std::string("GET ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
    const DecodedHttpRequest decoded = decode(text);
    REQUIRE(decoded.outcome == Outcome::complete);
    CHECK(decoded.request.path == "/a");
  }
  CHECK(decode("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n").request.path == "/");
}

TEST_CASE("the name of a field has any case, and its value any blanks around it") {
  for (const char* field : {"Host: x", "host:x", "HOST:\t x \t"}) {
    CAPTURE(field);
    const std::string text = std::string("GET / HTTP/1.1\r\n") + field + "\r\n\r\n";
    CHECK(decode(text).request.host == "x");
  }
}

TEST_CASE("a request that is cut anywhere is partial") {
  const std::string whole = "GET /ready HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(decode(whole.substr(0, size)).outcome == Outcome::partial);
  }
  CHECK(decode(whole).outcome == Outcome::complete);
}

TEST_CASE("a head within the limit is complete, and one beyond it too long") {
  const std::string start = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
  const std::string most = start + std::string(kLimit - start.size() - 4, 'b') + "\r\n\r\n";
  CHECK(most.size() == kLimit);
  CHECK(decode(most).outcome == Outcome::complete);
  CHECK(decode(start + std::string(kLimit - start.size() - 3, 'b') + "\r\n\r\n").outcome ==
        Outcome::too_long);
  CHECK(decode(std::string(kLimit, 'G')).outcome == Outcome::too_long);
  CHECK(decode(std::string(kLimit - 1, 'G')).outcome == Outcome::partial);
}

TEST_CASE("a first line that is not written as RFC 9112 has it is malformed") {
  for (const char* line : {"",
                           "GET",
                           "GET /",
                           "GET  / HTTP/1.1",
                           "GET / HTTP/1.1 ",
                           " GET / HTTP/1.1",
                           "GET / / HTTP/1.1",
                           "GET * HTTP/1.1",
                           "GET ready HTTP/1.1",
                           "GET x:1 HTTP/1.1",
                           "G(T / HTTP/1.1",
                           "GET /\x01 HTTP/1.1",
                           "GET /\xc3\xa4 HTTP/1.1",
                           "GET / http/1.1",
                           "GET / HTTP/1",
                           "GET / HTTP/1.11",
                           "GET / HTTP/1.x",
                           "GET / HTTPS/1.1",
                           "GET https://x/ HTTP/1.1",
                           "GET\t/\tHTTP/1.1"}) {
    CAPTURE(line);
    CHECK(decode(std::string(line) + "\r\nHost: x\r\n\r\n").outcome == Outcome::malformed);
  }
}

TEST_CASE("another version of HTTP is told apart") {
  CHECK(decode("GET / HTTP/2.0\r\nHost: x\r\n\r\n").outcome == Outcome::version);
  CHECK(decode("PRI * HTTP/2.0\r\n\r\n").outcome == Outcome::malformed);
  CHECK(decode("GET / HTTP/1.2\r\nHost: x\r\n\r\n").outcome == Outcome::complete);
}

TEST_CASE("a field that is not written as RFC 9112 has it is malformed") {
  for (const char* field :
       {"A", "A b: c", ": c", "A : b", " A: b", "A: b\r\n c", "A: b\x01", "A: b\x7f", "A: b\rc"}) {
    CAPTURE(field);
    CHECK(decode(std::string("GET / HTTP/1.1\r\nHost: x\r\n") + field + "\r\n\r\n").outcome ==
          Outcome::malformed);
  }
  CHECK(decode(std::string("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 33)).outcome ==
        Outcome::malformed);
}

TEST_CASE("a line that ends in a line feed alone is malformed, before the head has ended") {
  CHECK(decode("GET / HTTP/1.1\n").outcome == Outcome::malformed);
  CHECK(decode("\n").outcome == Outcome::malformed);
  CHECK(decode("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n").outcome == Outcome::malformed);
}

TEST_CASE("HTTP/1.1 has exactly one host") {
  CHECK(decode("GET / HTTP/1.1\r\n\r\n").outcome == Outcome::malformed);
  CHECK(decode("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n").outcome == Outcome::malformed);
  CHECK(decode("GET / HTTP/1.1\r\nHost: x y\r\n\r\n").outcome == Outcome::malformed);
  CHECK(decode("GET / HTTP/1.1\r\nHost:\r\n\r\n").request.host == "");
}

TEST_CASE("a request with a body is malformed") {
  for (const char* field :
       {"Content-Length: 1", "content-length: 00", "Content-Length: 0, 0",
        "Content-Length:", "Transfer-Encoding: chunked", "transfer-encoding:"}) {
    CAPTURE(field);
    CHECK(decode(std::string("GET / HTTP/1.1\r\nHost: x\r\n") + field + "\r\n\r\n").outcome ==
          Outcome::malformed);
  }
  CHECK(decode("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").outcome ==
        Outcome::complete);
}

TEST_CASE("a host is no other one if it is an address or localhost") {
  for (const char* host : {"127.0.0.1", "127.0.0.1:9100", "10.1.2.3", "[::1]", "[::1]:9100",
                           "localhost", "LocalHost:9100"}) {
    CAPTURE(host);
    CHECK(names_no_other_host(host));
  }
  for (const char* host : {"", "example.com", "localhost.example.com", "127.0.0.1.example.com",
                           "127.1", "[::1", "::1", "[127.0.0.1]", "user@localhost"}) {
    CAPTURE(host);
    CHECK_FALSE(names_no_other_host(host));
  }
}

}  // namespace
}  // namespace handoff
