// SPDX-License-Identifier: MIT
#include "load/closed_loop.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "load/address.hpp"
#include "load/reply_reader.hpp"

namespace load {
namespace {

/// How long the last replies are waited for.
constexpr auto kPatience = std::chrono::seconds(10);

std::chrono::duration<double> cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto duration = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return duration(usage.ru_utime) + duration(usage.ru_stime);
}

}  // namespace

struct ClosedLoop::Connection {
  Connection(int fd, std::size_t in_flight) : socket(fd), sent(in_flight) {}
  ~Connection() { close(socket); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int socket;
  ReplyReader reader;
  std::vector<TimePoint> sent;  ///< a ring: when each request that is under way was
  std::size_t oldest = 0;       ///< in the ring
  std::size_t under_way = 0;
  std::size_t unsent = 0;  ///< bytes of them that the socket has not taken yet
  bool waits_for_room = false;
};

ClosedLoop::ClosedLoop(const LoadOptions& options)
    : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(256U << 10) {
  if (epoll_ < 0) throw system_error("epoll_create1");
  constexpr std::size_t kWrite = 64U << 10;
  const std::size_t most = std::max<std::size_t>(1, kWrite / options.request.size());
  for (std::size_t i = std::min(options.in_flight, most); i > 0; --i) requests_ += options.request;
  for (std::size_t i = 0; i < options.connections; ++i) {
    const int socket = connect_to(options.address);
    connections_.push_back(std::make_unique<Connection>(socket, options.in_flight));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connections_.back().get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) < 0) throw system_error("epoll_ctl");
  }
}

ClosedLoop::~ClosedLoop() {
  close(epoll_);
}

const LoadResult& ClosedLoop::run() {
  const auto cpu_before = cpu_time();
  const TimePoint started = Clock::now();
  begin_ = started + std::chrono::duration_cast<Clock::duration>(options_.warm_up);
  end_ = begin_ + std::chrono::duration_cast<Clock::duration>(options_.seconds);
  for (const auto& connection : connections_) {
    request(*connection, options_.in_flight, Clock::now());
  }
  std::array<epoll_event, 256> events;
  while (under_way_ > 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ + kPatience - Clock::now());
    const auto timeout = static_cast<int>(std::max<std::int64_t>(0, left.count()));
    const int count = epoll_wait(epoll_, events.data(), events.size(), timeout);
    if (count == 0) throw std::runtime_error(fmt::format("{} requests: no reply", under_way_));
    if (count < 0 && errno != EINTR) throw system_error("epoll_wait");
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      auto& connection = *static_cast<Connection*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0) flush(connection);
      if ((event.events & ~EPOLLOUT) != 0) receive(connection);
    }
  }
  const std::chrono::duration<double> elapsed = Clock::now() - started;
  result_.own_cpu = (cpu_time() - cpu_before) / elapsed;
  return result_;
}

void ClosedLoop::request(Connection& connection, std::size_t count, TimePoint now) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = connection.oldest + connection.under_way++;
    connection.sent[place % connection.sent.size()] = now;
  }
  under_way_ += count;
  connection.unsent += count * options_.request.size();
  if (!connection.waits_for_room) flush(connection);
}

void ClosedLoop::flush(Connection& connection) {
  const std::size_t size = options_.request.size();
  while (connection.unsent > 0) {
    // All requests are the same, so what is left tells where the next byte is.
    const std::size_t next = (size - connection.unsent % size) % size;
    const std::string_view bytes = std::string_view(requests_).substr(next, connection.unsent);
    const ssize_t sent =
        send(connection.socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      connection.unsent -= static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return watch(connection, true);
    } else if (errno != EINTR) {
      throw system_error("send");
    }
  }
  watch(connection, false);
}

void ClosedLoop::watch(Connection& connection, bool waits_for_room) {
  if (std::exchange(connection.waits_for_room, waits_for_room) == waits_for_room) return;
  epoll_event event{};
  event.events = waits_for_room ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event) < 0) {
    throw system_error("epoll_ctl");
  }
}

void ClosedLoop::receive(Connection& connection) {
  const ssize_t size = recv(connection.socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size < 0) throw system_error("recv");
  if (size == 0) throw std::runtime_error("the server closed a connection");
  const std::size_t count =
      take_replies(connection, {buffer_.data(), static_cast<std::size_t>(size)});
  if (count == 0) return;
  const TimePoint now = Clock::now();
  if (now < end_) request(connection, count, now);
}

std::size_t ClosedLoop::take_replies(Connection& connection, std::string_view bytes) {
  const TimePoint now = Clock::now();
  const bool counts = now >= begin_ && now < end_;
  std::size_t count = 0;
  connection.reader.take(bytes, [&](std::string_view reply) {
    if (count++ == connection.under_way) throw std::runtime_error("a reply to no request");
    const TimePoint sent = connection.sent[connection.oldest];
    connection.oldest = (connection.oldest + 1) % connection.sent.size();
    if (!is_success(reply)) {
      if (result_.errors++ == 0) result_.first_error = reply;
      return;
    }
    if (counts) ++result_.replies;
    if (sent >= begin_ && sent < end_) result_.times.record(now - sent);
  });
  connection.under_way -= count;
  under_way_ -= count;
  return count;
}

}  // namespace load
