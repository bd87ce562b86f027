// SPDX-License-Identifier: MIT
// A program outside the library that catches, by their own types, exceptions that the library
// throws, and its own ones that have passed through the library. It prints how many of each it has
// caught.
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <typeinfo>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>
#include <handoff/rpc/blocking_client.hpp>
#include <handoff/wire/errors.hpp>

namespace {

using namespace handoff;

/// Returns 1 when `call` throws this type and no type that is derived from it.
template <typename Exception, typename Call>
int caught(Call call) {
  try {
    call();
  } catch (const Exception& error) {
    return typeid(error) == typeid(Exception) ? 1 : 0;
  } catch (const std::exception& error) {
    std::cerr << "not caught as its own type: " << error.what() << std::endl;
  }
  return 0;
}

/// Has an exception of this program leave the library's Reactor::run().
template <typename Exception, typename... Arguments>
int passed_through(Arguments... arguments) {
  return caught<Exception>([&] {
    Reactor reactor;
    reactor.run([](Exception error) -> Task<void> {
      throw error;
      co_return;
    }(Exception(arguments...)));
  });
}

/// A client, and the server's end of its connection.
struct Ends {
  Ends() {
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) { std::terminate(); }
    client.emplace(Fd(ends[0]), "server");
    server = Fd(ends[1]);
  }
  std::optional<BlockingClient> client;
  Fd server;
};

int thrown_by_program() {
  return passed_through<SystemError>(EPERM, "try") + passed_through<Unreachable>("nobody") +
         passed_through<ChildFailed>("child", 1) + passed_through<TimedOut>("late") +
         passed_through<InvalidArgument>("what") + passed_through<ProtocolError>("no") +
         passed_through<ConnectionLost>("gone");
}

int thrown_by_library() {
  int count = caught<SystemError>([] { Fd(-1).duplicate(); });
  count += caught<InvalidArgument>([] { Address::parse("nonsense"); });
  // It is thrown as a type that only the library knows.
  try {
    BlockingClient client(Address::parse("./no-server"));
  } catch (const Unreachable&) { ++count; }
  count += caught<TimedOut>([] {
    Ends ends;
    ends.client->call("a", "1", Clock::now() + std::chrono::milliseconds(1));
  });
  count += caught<ConnectionLost>([] {
    Ends ends;
    ends.server.reset();
    ends.client->call("a");
  });
  count += caught<ProtocolError>([] {
    Ends ends;
    const std::string no_reply(
        "\1\0\0\0"
        "7",
        5);
    if (send(ends.server.get(), no_reply.data(), no_reply.size(), MSG_NOSIGNAL) != 5) { return; }
    ends.client->call("a");
  });
  return count;
}

}  // namespace

int main() {
  const int program = thrown_by_program();
  const int library = thrown_by_library();
  std::cout << "caught " << program << " of the program's and " << library << " of the library's"
            << std::endl;
  return 0;
}
