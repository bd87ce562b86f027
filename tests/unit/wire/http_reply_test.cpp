// SPDX-License-Identifier: MIT
#include "wire/http_reply.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

constexpr std::time_t kNow = 784111777;  // the example of RFC 9110

TEST_CASE("a reply has its status, its type, its length and no permission to be kept") {
  HttpReply reply;
  reply.body = "ready\n";
  CHECK(to_text(reply, HttpBody::sent, kNow) ==
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
        "\r\nready\n");
}

TEST_CASE("a reply to HEAD has the length of the body that is left out") {
  HttpReply reply;
  reply.body = "ready\n";
  const std::string text = to_text(reply, HttpBody::left_out, kNow);
  CHECK(text.find("Content-Length: 6\r\n") != std::string::npos);
  CHECK(text.ends_with("\r\n\r\n"));
}

TEST_CASE("a reply to a method that is not allowed names those that are") {
  HttpReply reply;
  reply.status = 405;
  reply.allow = "GET, HEAD";
  const std::string text = to_text(reply, HttpBody::sent, kNow);
  CHECK(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(text.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
}

TEST_CASE("each status that is sent has its phrase") {
  for (const int status : {200, 400, 404, 405, 408, 421, 431, 503, 505}) {
    HttpReply reply;
    reply.status = status;
    const std::string text = to_text(reply, HttpBody::sent, kNow);
    CHECK(text.find(" \r\n") == std::string::npos);
  }
}

}  // namespace
}  // namespace handoff
