// SPDX-License-Identifier: MIT
#include "load/loop.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "load/address.hpp"
#include "load/cpu_time.hpp"

namespace load {
namespace {

/// How long the last replies are waited for.
constexpr auto kPatience = std::chrono::seconds(10);

/// It takes the kernel so long to wake us: what is due sooner is waited for awake.
constexpr auto kWakeUp = std::chrono::microseconds(100);

}  // namespace

Loop::Loop(const LoadOptions& options)
    : options_(options),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      buffer_(256U << 10),
      chance_(options.seed) {
  if (epoll_ < 0) { throw system_error("epoll_create1"); }
  constexpr std::size_t kWrite = 64U << 10;
  const std::size_t most = std::max<std::size_t>(1, kWrite / options.request.size());
  for (std::size_t i = std::min(options.in_flight, most); i > 0; --i) {
    requests_ += options.request;
  }
  const bool http = options.request.starts_with("GET ");
  for (std::size_t i = 0; i < options.connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(http));
    if (options.reconnects) {
      free_.push_back(connections_.back().get());
    } else {
      connect(*connections_.back());
    }
  }
}

Loop::~Loop() {
  close(epoll_);
}

const LoadResult& Loop::run() {
  start();
  for (;;) {
    const TimePoint now = Clock::now();
    read_cpu_times(now);
    if (is_over()) { return result_; }
    turn(now);
  }
}

void Loop::start() {
  const TimePoint started = next_ = Clock::now();
  begin_ = started + std::chrono::duration_cast<Clock::duration>(options_.warm_up);
  end_ = begin_ + std::chrono::duration_cast<Clock::duration>(options_.seconds);
  if (is_open()) { return; }
  free_.clear();
  for (const auto& connection : connections_) {
    const TimePoint now = Clock::now();
    if (options_.reconnects) { connect(*connection); }
    request(*connection, options_.in_flight, now);
  }
}

bool Loop::is_over() const {
  return cpu_times_read_ == 2 && under_way_ == 0 && waiting_.empty();
}

void Loop::turn(TimePoint now) {
  if (is_open()) { send_due(now); }
  std::array<epoll_event, 256> events;
  const timespec timeout = wait(now);
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  if (count < 0 && errno != EINTR) { throw system_error("epoll_pwait2"); }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0) { flush(connection); }
    if ((event.events & ~EPOLLOUT) != 0) { receive(connection); }
  }
}

/// How long there is nothing to do unless something comes.
timespec Loop::wait(TimePoint now) {
  TimePoint next = end_ + kPatience;
  if (now >= next) { throw std::runtime_error(fmt::format("{} requests: no reply", under_way_)); }
  if (cpu_times_read_ == 0) { next = begin_; }
  if (cpu_times_read_ == 1) { next = end_; }
  if (is_open() && next_ < end_) { next = std::min(next, next_); }
  const auto left = std::max<Clock::duration>(next - now - kWakeUp, Clock::duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
  return {seconds.count(), std::chrono::nanoseconds(left - seconds).count()};
}

void Loop::read_cpu_times(TimePoint now) {
  const bool due = (cpu_times_read_ == 0 && now >= begin_) || (cpu_times_read_ == 1 && now >= end_);
  if (!due) { return; }
  const double sign = cpu_times_read_++ == 0 ? -1 : 1;
  result_.own_cpu += sign * own_cpu_seconds();
  result_.server_cpu += sign * cpu_seconds_of(options_.servers);
}

void Loop::send_due(TimePoint now) {
  std::exponential_distribution<double> pause(options_.rate);
  while (next_ <= now && next_ < end_) {
    waiting_.push_back(next_);
    next_ +=
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(pause(chance_)));
  }
  while (!waiting_.empty()) {
    Connection* connection = choose();
    if (connection == nullptr) { return; }
    if (options_.reconnects) { connect(*connection); }
    request(*connection, 1, waiting_.front());
    waiting_.pop_front();
  }
}

/// The connection for the next request of an open loop, or null.
Connection* Loop::choose() {
  if (!options_.reconnects) { return connections_[chance_() % connections_.size()].get(); }
  if (free_.empty()) { return nullptr; }
  Connection* connection = free_.back();
  free_.pop_back();
  return connection;
}

void Loop::connect(Connection& connection) {
  connection.socket = connect_to(options_.address);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket, &event) < 0) {
    throw system_error("epoll_ctl");
  }
}

void Loop::request(Connection& connection, std::size_t count, TimePoint when) {
  connection.sent.insert(connection.sent.end(), count, when);
  under_way_ += count;
  connection.unsent += count * options_.request.size();
  if (!connection.waits_for_room) { flush(connection); }
}

void Loop::flush(Connection& connection) {
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

void Loop::watch(Connection& connection, bool waits_for_room) {
  if (std::exchange(connection.waits_for_room, waits_for_room) == waits_for_room) { return; }
  epoll_event event{};
  event.events = waits_for_room ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event) < 0) {
    throw system_error("epoll_ctl");
  }
}

void Loop::receive(Connection& connection) {
  const ssize_t size = recv(connection.socket, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) { return; }
  if (size < 0) { throw system_error("recv"); }
  if (size == 0) { throw std::runtime_error("the server closed a connection"); }
  const std::size_t count =
      take_replies(connection, {buffer_.data(), static_cast<std::size_t>(size)});
  if (count > 0) { go_on(connection, count); }
}

std::size_t Loop::take_replies(Connection& connection, std::string_view bytes) {
  const TimePoint now = Clock::now();
  const bool counts = now >= begin_ && now < end_;
  std::size_t count = 0;
  while (std::visit([&](auto& reader) { return reader.take(bytes); }, connection.reader)) {
    if (connection.sent.empty()) { throw std::runtime_error("a reply to no request"); }
    const TimePoint sent = connection.sent.front();
    connection.sent.pop_front();
    ++count;
    const std::string_view reply =
        std::visit([](const auto& reader) { return reader.reply(); }, connection.reader);
    if (!is_success(reply)) {
      if (result_.errors++ == 0) { result_.first_error = reply; }
      continue;
    }
    if (counts) { ++result_.replies; }
    if (sent >= begin_ && sent < end_) { result_.times.record(now - sent); }
  }
  under_way_ -= count;
  return count;
}

void Loop::go_on(Connection& connection, std::size_t replies) {
  if (options_.reconnects) { connection.reset(); }
  if (is_open()) {
    if (options_.reconnects) { free_.push_back(&connection); }
    return;
  }
  const TimePoint now = Clock::now();
  if (now >= end_) { return; }
  if (options_.reconnects) { connect(connection); }
  request(connection, replies, now);
}

}  // namespace load
