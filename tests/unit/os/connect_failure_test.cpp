// SPDX-License-Identifier: MIT
#include "os/connect_failure.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include <handoff/os/address.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

SocketAddress tcp() {
  return Address::parse("127.0.0.1:80").without_lookup().value();
}

TEST_CASE("a host, a network or a listener that is not there yet may come") {
  for (const int error : {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ENETDOWN,
                          EADDRNOTAVAIL, ENOBUFS}) {
    CAPTURE(error);
    CHECK(connect_failure(error, tcp()).outlook == Outlook::may_change);
  }
}

TEST_CASE("what needs another address, right or kernel does not change") {
  for (const int error : {EACCES, EPERM, EPROTOTYPE, ENOTDIR, ENOTSOCK, EAFNOSUPPORT, EINVAL}) {
    CAPTURE(error);
    CHECK(connect_failure(error, tcp()).outlook == Outlook::permanent);
  }
}

TEST_CASE("a socket that is not in its folder may come, a folder that is not there does not") {
  const test::TemporaryDirectory directory;
  const auto may_come = connect_failure(ENOENT, SocketAddress::unix_path(directory.path("s")));
  CHECK(may_come.outlook == Outlook::may_change);
  CHECK(may_come.reason == "No such file or directory");
  const auto never = connect_failure(ENOENT, SocketAddress::unix_path(directory.path("no/s")));
  CHECK(never.outlook == Outlook::permanent);
  CHECK(never.reason ==
        "No such file or directory (there is no folder " + directory.path("no") + ")");
  CHECK(connect_failure(ENOENT, SocketAddress::unix_path("s")).outlook == Outlook::may_change);
  CHECK(connect_failure(ENOENT, SocketAddress::unix_path("/s")).outlook == Outlook::may_change);
  CHECK(connect_failure(ENOENT, SocketAddress::unix_abstract("s")).outlook == Outlook::may_change);
}

TEST_CASE("a file that is no socket refuses for ever, a socket that nobody listens on does not") {
  const test::TemporaryDirectory directory;
  test::write_file(directory.path("file"), "");
  const auto file = connect_failure(ECONNREFUSED, SocketAddress::unix_path(directory.path("file")));
  CHECK(file.outlook == Outlook::permanent);
  CHECK(file.reason == "Connection refused (the file is no socket)");
  const auto gone = connect_failure(ECONNREFUSED, SocketAddress::unix_path(directory.path("gone")));
  CHECK(gone.outlook == Outlook::may_change);
}

TEST_CASE("a full backlog is no lack of resources") {
  const auto full = connect_failure(EAGAIN, SocketAddress::unix_abstract("s"));
  CHECK(full.outlook == Outlook::may_change);
  CHECK(full.reason == "the listener's backlog is full");
}

}  // namespace
}  // namespace handoff
