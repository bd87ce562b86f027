// SPDX-License-Identifier: MIT
// What a server of the article's protocol costs when it does nothing but the system calls: a raw
// epoll loop, which the others are measured against.
//
//     raw_echo -l 127.0.0.1:0 [--processes N] [--pass]
//
// Each of N processes accepts on a socket of its own (SO_REUSEPORT); with --pass, one process
// accepts and passes the connections in turn to N others, which acknowledge nothing. No JSON is
// read: the params are where the load's requests have them, and are copied to where a reply has
// them. Edge-triggered, one read and one write for a batch of frames; an idle connection has no
// memory here at all.
//
// Nothing of lib/ is used. It trusts its clients, and so listens on this machine only.
#include <fmt/format.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::string_view kRequest = R"({"in":"ping","params":)";  // or "echo", as long
constexpr std::string_view kPong = R"({"out":"pong","result":)";
constexpr std::string_view kEcho = R"({"out":"echo","result":)";
constexpr std::size_t kHeader = sizeof(std::uint32_t);
constexpr std::size_t kBuffer = 256U << 10;

std::array<char, kBuffer> input;
/// The least request becomes a reply that is one byte longer.
std::array<char, 2 * kBuffer> output;

int check(int result, const char* attempt) {
  if (result < 0) { throw std::system_error(errno, std::generic_category(), attempt); }
  return result;
}

/// Writes the reply to the request, and gives where it ends.
char* reply(std::string_view body, char* out) {
  const std::string_view head = body[kRequest.find("ping")] == 'p' ? kPong : kEcho;
  const std::string_view params = body.substr(kRequest.size());  // and the last brace
  const auto size = static_cast<std::uint32_t>(head.size() + params.size());
  std::memcpy(out, &size, kHeader);
  std::memcpy(out += kHeader, head.data(), head.size());
  std::memcpy(out += head.size(), params.data(), params.size());
  return out + params.size();
}

class Loop {
 public:
  Loop() : epoll_(check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {}

  /// What to do when `fd`, one of ours, is readable; level-triggered.
  void accept_from(int fd) { add(source_ = fd, EPOLLIN); }
  void receive_from(int fd) {
    receives_ = true;
    add(source_ = fd, EPOLLIN);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd != source_) {
          serve(event.data.fd, event.events);
        } else if (receives_) {
          receive();
        } else {
          accept();
        }
      }
    }
  }

 private:
  void add(int fd, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void open(int connection) const { add(connection, EPOLLIN | EPOLLRDHUP | EPOLLET); }

  void close(int connection) {
    rests_.erase(connection);
    ::close(connection);
  }

  void accept() const {
    for (int fd; (fd = accept4(source_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) { open(fd); }
  }

  void receive() const;
  void serve(int connection, std::uint32_t events);
  std::size_t answer(std::string_view bytes, std::size_t& output_size) const;

  int epoll_;
  int source_ = -1;  ///< the listener, or the channel
  bool receives_ = false;
  std::unordered_map<int, std::string> rests_;  ///< of frames that did not arrive whole
};

/// The connections that have been passed.
void Loop::receive() const {
  for (;;) {
    char byte;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control;
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = recvmsg(source_, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size == 0) { std::exit(0); }
    if (size < 0) { return; }
    int connection;
    std::memcpy(&connection, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(connection));
    open(connection);
  }
}

/// Answers the whole frames, and gives how many bytes they are.
std::size_t Loop::answer(std::string_view bytes, std::size_t& output_size) const {
  char* out = output.data();
  std::size_t done = 0;
  while (bytes.size() - done >= kHeader) {
    std::uint32_t size;
    std::memcpy(&size, &bytes[done], kHeader);
    if (size < kRequest.size() || bytes.size() - done < kHeader + size) { break; }
    out = reply(bytes.substr(done + kHeader, size), out);
    done += kHeader + size;
  }
  output_size = static_cast<std::size_t>(out - output.data());
  return done;
}

void Loop::serve(int connection, std::uint32_t events) {
  for (;;) {
    // What there is of a frame stands before what comes now.
    std::size_t kept = 0;
    if (!rests_.empty()) {
      if (const auto rest = rests_.find(connection); rest != rests_.end()) {
        kept = rest->second.copy(input.data(), input.size());
        rests_.erase(rest);
      }
    }
    const std::size_t room = input.size() - kept;
    const ssize_t size = recv(connection, input.data() + kept, room, MSG_DONTWAIT);
    if (size == 0 || room == 0 || (size < 0 && errno != EAGAIN)) { return close(connection); }
    const std::string_view bytes(input.data(),
                                 kept + (size < 0 ? 0 : static_cast<std::size_t>(size)));
    std::size_t output_size = 0;
    const std::size_t done = answer(bytes, output_size);
    // The socket blocks: the clients are known to read.
    if (output_size > 0 && send(connection, output.data(), output_size, MSG_NOSIGNAL) < 0) {
      return close(connection);
    }
    if (done < bytes.size()) { rests_[connection] = bytes.substr(done); }
    // Less than there was room for: the socket is empty, unless its end has come as well.
    const bool ends = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (size < 0 || (static_cast<std::size_t>(size) < room && !ends)) { return; }
  }
}

/// On 127.0.0.1; port 0 is any.
int listen_on(std::uint16_t port) {
  const int fd = check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
  const int on = 1;
  for (const int option : {SO_REUSEADDR, SO_REUSEPORT}) {
    check(setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)), "setsockopt");
  }
  // What is accepted inherits it.
  check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "setsockopt");
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), "bind");
  check(listen(fd, SOMAXCONN), "listen");
  return fd;
}

std::uint16_t port_of(int listener) {
  sockaddr_in name{};
  socklen_t size = sizeof(name);
  check(getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size), "getsockname");
  return ntohs(name.sin_port);
}

/// In a new process: true. It ends with this one.
bool is_child() {
  const pid_t parent = getpid();
  if (check(fork(), "fork") > 0) { return false; }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) { std::exit(1); }
  return true;
}

void pass(int channel, int connection) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(connection));
  std::memcpy(CMSG_DATA(header), &connection, sizeof(connection));
  check(static_cast<int>(sendmsg(channel, &message, MSG_NOSIGNAL)), "sendmsg");
}

/// Accepts, and passes in turn; blocking.
[[noreturn]] void run_master(int listener, int processes) {
  std::vector<int> channels;
  for (int i = 0; i < processes; ++i) {
    std::array<int, 2> pair{};
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), "socketpair");
    if (is_child()) {
      Loop loop;
      loop.receive_from(pair[1]);
      loop.run();
    }
    close(pair[1]);
    channels.push_back(pair[0]);
  }
  const int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN;
  check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  for (std::size_t next = 0;;) {
    epoll_wait(epoll, &event, 1, -1);
    for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      pass(channels[next++ % channels.size()], fd);
      close(fd);
    }
  }
}

[[noreturn]] void run_alone(int listener, int processes) {
  const std::uint16_t port = port_of(listener);
  bool child = false;
  for (int i = 1; i < processes && !child; ++i) {
    child = is_child();
    if (child) { listener = listen_on(port); }
  }
  Loop loop;
  loop.accept_from(listener);
  loop.run();
}

struct Options {
  std::uint16_t port = 0;
  int processes = 1;
  bool passes = false;
};

/// The port of "127.0.0.1:0", ":0" or "0".
Options parse(int argc, char** argv) {
  Options options;
  bool listens = false;
  const std::array<option, 4> table{{{"listen", required_argument, nullptr, 'l'},
                                     {"processes", required_argument, nullptr, 'n'},
                                     {"pass", no_argument, nullptr, 'p'},
                                     {}}};
  for (int c; (c = getopt_long(argc, argv, "l:n:p", table.data(), nullptr)) != -1;) {
    switch (c) {
      case 'l': {
        const char* colon = std::strrchr(optarg, ':');
        options.port = static_cast<std::uint16_t>(std::atoi(colon == nullptr ? optarg : colon + 1));
        listens = true;
        break;
      }
      case 'n': options.processes = std::max(1, std::atoi(optarg)); break;
      case 'p': options.passes = true; break;
      default: listens = false; optind = argc + 1;
    }
  }
  if (listens && optind == argc) { return options; }
  fmt::print(stderr, "Usage: raw_echo -l [127.0.0.1:]PORT [-n, --processes N] [-p, --pass]\n");
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const int listener = listen_on(options.port);
    // What comes before a process is there to accept it waits in the backlog.
    fmt::print(stderr, "raw_echo: ready, on 127.0.0.1:{}\n", port_of(listener));
    if (options.passes) { run_master(listener, options.processes); }
    run_alone(listener, options.processes);
  } catch (const std::exception& error) {
    fmt::print(stderr, "raw_echo: {}\n", error.what());
    return 125;
  }
}
