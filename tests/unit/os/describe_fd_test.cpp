// SPDX-License-Identifier: MIT
#include "os/describe_fd.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/address.hpp"
#include "os/fd.hpp"
#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

Fields fields_of(const Fd& fd) {
  REQUIRE(fd.valid());
  return describe_descriptor(fd.get());
}

std::string type_of(const Fd& fd) {
  const Fields fields = fields_of(fd);
  REQUIRE(!fields.empty());
  REQUIRE(fields.front().first == "type");
  return fields.front().second;
}

/// A TCP connection over loopback, both ends of it.
struct TcpPair {
  explicit TcpPair(std::string_view address) : listener(listen_on(Address::parse(address))) {
    const SocketAddress bound = local_address(listener.fd());
    client = Fd(socket(bound.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(connect(client.get(), bound.data(), bound.size()) == 0);
    REQUIRE(test::becomes_readable(listener.fd()));
    server = try_accept(listener.fd()).fd;
    REQUIRE(server.valid());
  }
  Listener listener;
  Fd client;
  Fd server;
};

bool has_ipv6() {
  const Fd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress address = Address::parse("[::1]:0").resolve().front();
  return fd.valid() && bind(fd.get(), address.data(), address.size()) == 0;
}

TEST_CASE("files, folders and devices have a type and a path") {
  const test::DescriptorCheck check;
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("a file");
  test::write_file(path, "");
  CHECK(fields_of(Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC))) ==
        Fields{{"type", "file"}, {"path", path}});
  CHECK(fields_of(Fd(open("/", O_RDONLY | O_CLOEXEC))) ==
        Fields{{"type", "directory"}, {"path", "/"}});
  CHECK(fields_of(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC))) ==
        Fields{{"type", "character device"}, {"path", "/dev/null"}});
}

TEST_CASE("a pipe has no path, and one with a name has") {
  const auto [read_end, write_end] = make_pipe();
  CHECK(fields_of(read_end) == Fields{{"type", "pipe"}});
  CHECK(fields_of(write_end) == Fields{{"type", "pipe"}});
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("fifo");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  CHECK(fields_of(Fd(open(path.c_str(), O_RDWR | O_CLOEXEC))) ==
        Fields{{"type", "pipe"}, {"path", path}});
}

TEST_CASE("both ends of a terminal are terminals") {
  const Fd ours(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(ours.valid());
  REQUIRE(grantpt(ours.get()) == 0);
  REQUIRE(unlockpt(ours.get()) == 0);
  const std::string name = ptsname(ours.get());
  const Fd theirs(open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  CHECK(type_of(ours) == "terminal");
  CHECK(fields_of(theirs) == Fields{{"type", "terminal"}, {"path", name}});
}

TEST_CASE("the kernel's own kinds have its names") {
  const test::DescriptorCheck check;
  sigset_t signals;
  sigemptyset(&signals);
  CHECK(type_of(Fd(memfd_create("name", MFD_CLOEXEC))) == "memfd");
  CHECK(type_of(Fd(epoll_create1(EPOLL_CLOEXEC))) == "eventpoll");
  CHECK(type_of(Fd(eventfd(0, EFD_CLOEXEC))) == "eventfd");
  CHECK(type_of(Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC))) == "timerfd");
  CHECK(type_of(Fd(signalfd(-1, &signals, SFD_CLOEXEC))) == "signalfd");
  CHECK(type_of(Fd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)))) == "pidfd");
}

TEST_CASE("a file that has no name any more is told from one whose name says so") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("file");
  const Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const Fd named(open((path + " (deleted)").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  CHECK(fields_of(named) == Fields{{"type", "file"}, {"path", path + " (deleted)"}});
  REQUIRE(unlink(path.c_str()) == 0);
  CHECK(fields_of(file) == Fields{{"type", "file"}, {"path", path}, {"deleted", "true"}});
  // Another file of the name that this one had.
  std::ofstream(path) << "x";
  CHECK(fields_of(file) == Fields{{"type", "file"}, {"path", path}, {"deleted", "true"}});
}

TEST_CASE("a descriptor that only names a file says so, also that of a socket") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  const Listener listener = listen_on(Address::parse(path));
  const Fd name(open(path.c_str(), O_PATH | O_CLOEXEC));
  CHECK(fields_of(name) == Fields{{"type", "socket"}, {"o_path", "true"}, {"path", path}});
  const Fd folder(open("/", O_PATH | O_CLOEXEC));
  CHECK(fields_of(folder) == Fields{{"type", "directory"}, {"o_path", "true"}, {"path", "/"}});
}

TEST_CASE("a namespace has its kind") {
  const Fd space(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  if (!space.valid()) {
    MESSAGE("skipped: no namespaces");
    return;
  }
  CHECK(fields_of(space) == Fields{{"type", "namespace"}, {"namespace", "uts"}});
}

TEST_CASE("an io_uring has the kernel's name for it") {
  std::array<std::uint32_t, 30> params{};  // struct io_uring_params, all zero
  const Fd ring(static_cast<int>(syscall(SYS_io_uring_setup, 1, params.data())));
  if (!ring.valid()) {
    MESSAGE("skipped: the kernel gives no io_uring");
    return;
  }
  CHECK(fields_of(ring) == Fields{{"type", "io_uring"}});
}

TEST_CASE("a TCP listener has its address and says that it listens") {
  for (const std::string_view address : {"127.0.0.1:0", "[::1]:0"}) {
    if (address.starts_with('[') && !has_ipv6()) { continue; }
    const Listener listener = listen_on(Address::parse(address));
    CHECK(describe_descriptor(listener.fd()) ==
          Fields{{"type", "tcp"}, {"local", listener.text()}, {"listening", "true"}});
  }
}

TEST_CASE("a TCP connection has both addresses") {
  const TcpPair pair("127.0.0.1:0");
  const std::string server = local_address(pair.server.get()).text();
  const std::string client = local_address(pair.client.get()).text();
  CHECK(fields_of(pair.client) == Fields{{"type", "tcp"}, {"local", client}, {"peer", server}});
  CHECK(fields_of(pair.server) == Fields{{"type", "tcp"}, {"local", server}, {"peer", client}});
}

TEST_CASE("a UDP socket has a peer once it is connected") {
  const Fd first(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketAddress any = Address::parse("127.0.0.1:0").resolve().front();
  REQUIRE(bind(first.get(), any.data(), any.size()) == 0);
  const SocketAddress bound = local_address(first.get());
  CHECK(fields_of(first) == Fields{{"type", "udp"}, {"local", bound.text()}});
  const Fd second(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  REQUIRE(connect(second.get(), bound.data(), bound.size()) == 0);
  CHECK(fields_of(second) == Fields{{"type", "udp"},
                                    {"local", local_address(second.get()).text()},
                                    {"peer", bound.text()}});
}

TEST_CASE("Unix sockets of every type are unix") {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    const auto [ours, theirs] = make_socket_pair(type);
    CHECK(fields_of(ours) == Fields{{"type", "unix"}, {"local", "unix"}, {"peer", "unix"}});
  }
}

TEST_CASE("a named Unix listener has the path that it was bound to") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("s");
  const SocketAddress address = SocketAddress::unix_path(path);
  const Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(bind(listener.get(), address.data(), address.size()) == 0);
  CHECK(fields_of(listener) == Fields{{"type", "unix"}, {"local", path}});
  REQUIRE(listen(listener.get(), 1) == 0);
  CHECK(fields_of(listener) == Fields{{"type", "unix"}, {"local", path}, {"listening", "true"}});
}

TEST_CASE("a socket of another family is a socket") {
  const Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd.valid()) { return; }
  CHECK(type_of(fd) == "socket");
}

TEST_CASE("a number that is not open is of an unknown type") {
  CHECK(describe_descriptor(4000) == Fields{{"type", "unknown"}});
  CHECK(describe_descriptor(-1) == Fields{{"type", "unknown"}});
}

}  // namespace
}  // namespace handoff
