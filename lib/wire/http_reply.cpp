// SPDX-License-Identifier: MIT
#include "wire/http_reply.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>

namespace handoff {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

/// Returns the time as RFC 9110 has it, whatever the locale.
std::string date_text(std::time_t now) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm time{};
  gmtime_r(&now, &time);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays.at(static_cast<std::size_t>(time.tm_wday)), time.tm_mday,
                     kMonths.at(static_cast<std::size_t>(time.tm_mon)), time.tm_year + 1900,
                     time.tm_hour, time.tm_min, time.tm_sec);
}

}  // namespace

std::string to_text(const HttpReply& reply, HttpBody body, std::time_t now) {
  std::string text = fmt::format(
      "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n",
      reply.status, reason_of(reply.status), date_text(now), reply.content_type, reply.body.size());
  if (!reply.allow.empty()) { text += fmt::format("Allow: {}\r\n", reply.allow); }
  text += "\r\n";
  if (body == HttpBody::sent) { text += reply.body; }
  return text;
}

}  // namespace handoff
