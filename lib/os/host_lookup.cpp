// SPDX-License-Identifier: MIT
#include "os/host_lookup.hpp"

#include <netdb.h>

#include <cerrno>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

ConnectFailure lookup_failure(int gai_error, int error_number) {
  if (gai_error == EAI_SYSTEM) { return {0, error_text(error_number), Outlook::may_change}; }
  const bool is_permanent =
      gai_error == EAI_FAMILY || gai_error == EAI_BADFLAGS || gai_error == EAI_SOCKTYPE;
  return {0, gai_strerror(gai_error), is_permanent ? Outlook::permanent : Outlook::may_change};
}

}  // namespace

HostLookup look_up_host(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) { return {{}, lookup_failure(error, errno)}; }
  HostLookup result;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    result.addresses.emplace_back(entry->ai_addr, entry->ai_addrlen);
  }
  freeaddrinfo(found);
  return result;
}

}  // namespace handoff
