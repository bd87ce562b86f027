// SPDX-License-Identifier: MIT
#include "os/connection_variables.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include <handoff/os/address.hpp>
#include <handoff/os/fd.hpp>

#include "os/listener.hpp"
#include "os/socket.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

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

TEST_CASE("a TCP connection sets the variables that inetd programs expect") {
  const TcpPair pair("127.0.0.1:0");
  const std::string server = std::to_string(local_address(pair.server.get()).port());
  const std::string client = std::to_string(local_address(pair.client.get()).port());
  CHECK(connection_variables(pair.server.get()) ==
        std::vector<std::string>{"PROTO=TCP", "TCPREMOTEIP=127.0.0.1", "TCPREMOTEPORT=" + client,
                                 "TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=" + server});
}

TEST_CASE("an IPv6 address is in its variable without brackets") {
  if (!has_ipv6()) { return; }
  const TcpPair pair("[::1]:0");
  const auto variables = connection_variables(pair.server.get());
  REQUIRE(variables.size() == 5);
  CHECK(variables[1] == "TCPREMOTEIP=::1");
  CHECK(variables[3] == "TCPLOCALIP=::1");
}

TEST_CASE("a Unix connection sets its protocol alone, and what is no connection nothing") {
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  CHECK(connection_variables(ours.get()) == std::vector<std::string>{"PROTO=UNIX"});
  const Listener listener = listen_on(Address::parse("127.0.0.1:0"));
  CHECK(connection_variables(listener.fd()).empty());
  const auto [read_end, write_end] = make_pipe();
  CHECK(connection_variables(read_end.get()).empty());
  CHECK(connection_variables(4000).empty());
}

TEST_CASE("the client that a proxy has told takes the place of the peer") {
  const SocketAddress client = Address::parse("192.0.2.7:4660").resolve().front();
  const TcpPair pair("127.0.0.1:0");
  const std::string server = std::to_string(local_address(pair.server.get()).port());
  CHECK(connection_variables(pair.server.get(), client) ==
        std::vector<std::string>{"PROTO=TCP", "TCPREMOTEIP=192.0.2.7", "TCPREMOTEPORT=4660",
                                 "TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=" + server});
  CHECK(connection_variables(pair.server.get(), SocketAddress::unix_path("/x")) ==
        std::vector<std::string>{"PROTO=UNIX"});
  const auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  CHECK(connection_variables(ours.get(), client) ==
        std::vector<std::string>{"PROTO=TCP", "TCPREMOTEIP=192.0.2.7", "TCPREMOTEPORT=4660"});
  const auto [read_end, write_end] = make_pipe();
  CHECK(connection_variables(read_end.get(), client).empty());
}

TEST_CASE("an IPv4 client of a listener for IPv6 and IPv4 has its IPv4 address") {
  if (!has_ipv6()) { return; }
  const Fd listener(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  set_option(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0, "clear IPV6_V6ONLY");
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  target.sin_port = htons(local_address(listener.get()).port());
  const Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(connect(client.get(), reinterpret_cast<sockaddr*>(&target), sizeof target) == 0);
  const Fd server = try_accept(listener.get()).fd;
  const auto variables = connection_variables(server.get());
  REQUIRE(variables.size() == 5);
  CHECK(variables[1] == "TCPREMOTEIP=127.0.0.1");
  CHECK(variables[3] == "TCPLOCALIP=127.0.0.1");
}

TEST_CASE("variables that say who is at the other end of a connection are told from others") {
  for (const std::string_view variable :
       {"TCPREMOTEIP=1.2.3.4", "TCPREMOTEINFO=x", "TCP6REMOTEIP=::1", "TCPLOCALHOST=x",
        "TCPCONNNUM=2", "PROTO=TCP", "UNIXREMOTEEUID=0", "IPCREMOTEEUID=0", "SSLREMOTEIP=1.2.3.4",
        "SSL_CLIENT_S_DN=x", "SSL_PROTOCOL=TLSv1.3", "REMOTE_ADDR=1.2.3.4", "REMOTE_USER=root",
        "NCAT_REMOTE_ADDR=1.2.3.4", "SOCAT_PEERADDR=1.2.3.4", "SSH_CONNECTION=x", "SSH_CLIENT=x",
        "RPC_PEER=1.2.3.4:5"}) {
    CAPTURE(variable);
    CHECK(describes_a_connection(variable));
  }
  for (const std::string_view variable :
       {"PATH=/bin", "PROTOCOL=x", "MYPROTO=x", "SSL_CERT_FILE=/x", "SSL_CERT_DIR=/x",
        "SSLKEYLOGFILE=/x", "SSH_AUTH_SOCK=/x", "HTTP_PROXY=x", "TCP=x", ""}) {
    CAPTURE(variable);
    CHECK(!describes_a_connection(variable));
  }
}

}  // namespace
}  // namespace handoff
