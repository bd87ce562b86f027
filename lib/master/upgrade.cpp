// SPDX-License-Identifier: MIT
#include "master/upgrade.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/stream.hpp"
#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "os/sealed_memory.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "os/utf8.hpp"

namespace handoff {
namespace {

constexpr const char* kVariable = variable::kSuccession;

/// The first number behind the standard streams.
constexpr int kFirst = 3;

/// A path is any bytes, and JSON has only UTF-8: another one is an array of its bytes.
nlohmann::ordered_json address_to_json(const std::string& address) {
  if (is_utf8(address)) return address;
  const std::string_view bytes = address;
  return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
}

std::string address_from_json(const nlohmann::json& json) {
  if (json.is_string()) return json.get<std::string>();
  const auto bytes = json.get<std::vector<std::uint8_t>>();
  return {bytes.begin(), bytes.end()};
}

/// Gives the successor's descriptors their numbers, and says in JSON which is which.
class Will {
 public:
  explicit Will(SpawnOptions& options) : options_(options) {}

  int add(int fd) {
    options_.descriptors.emplace_back(fd, next_);
    return next_++;
  }
  nlohmann::ordered_json add(const Listener& listener) {
    nlohmann::ordered_json entry = {{"fd", add(listener.fd())},
                                    {"address", address_to_json(listener.text())}};
    if (listener.lock() >= 0) {
      entry["lock"] = add(listener.lock());
      entry["device"] = listener.file().device;
      entry["inode"] = listener.file().inode;
    }
    return entry;
  }

 private:
  SpawnOptions& options_;
  int next_ = kFirst;
};

/// All of the file whose descriptor has this number.
std::string read_will(std::string_view number) {
  const auto parsed = parse_number<int>(number);
  if (!parsed || *parsed < kFirst) {
    throw InvalidArgument(fmt::format("{} {}: not the number of a descriptor", kVariable, number));
  }
  const Fd file(*parsed);
  std::string text;
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t size = retry([&] {
      return pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    });
    if (size < 0) throw SystemError(errno, "read", fmt::format("{} {}", kVariable, number));
    if (size == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

Listener adopt(const nlohmann::json& entry) {
  Fd listener(entry.at("fd").get<int>());
  std::string text = address_from_json(entry.at("address"));
  if (!entry.contains("lock")) return Listener::adopt(std::move(listener), std::move(text));
  Fd lock(entry["lock"].get<int>());
  const FileIdentity file{entry.at("device").get<dev_t>(), entry.at("inode").get<ino_t>()};
  return Listener::adopt(std::move(listener), std::move(text), std::move(lock), file);
}

}  // namespace

std::optional<Inheritance> Inheritance::take() {
  const auto number = read_variable(kVariable);
  if (!number) return std::nullopt;
  Inheritance inheritance;
  try {
    const auto will = nlohmann::json::parse(read_will(*number));
    inheritance.channel = Fd(will.at("channel").get<int>());
    for (const auto& entry : will.at("listeners")) inheritance.listeners.push_back(adopt(entry));
    if (will.contains("join")) inheritance.join.emplace(adopt(will["join"]));
    if (will.contains("control")) inheritance.control.emplace(adopt(will["control"]));
    if (will.contains("pidfile")) inheritance.pidfile = Fd(will["pidfile"].get<int>());
    if (will.contains("original")) inheritance.original = Fd(will["original"].get<int>());
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(fmt::format("{}: {}", kVariable, error.what()));
  }
  remove_variable(kVariable);
  return inheritance;
}

Succession::Succession(Reactor& reactor, Dispatcher& dispatcher, std::shared_ptr<Custody> custody,
                       const Report& report, std::function<void(pid_t)> started)
    : reactor_(reactor),
      dispatcher_(dispatcher),
      custody_(std::move(custody)),
      report_(report),
      started_(std::move(started)),
      progress_(reactor) {}

Succession::~Succession() = default;

void Succession::give_up() {
  given_up_ = true;
  progress_.notify_all();
}

Task<std::string> Succession::start(const SuccessorCommand& command, Estate estate,
                                    const ServiceManager& manager, Lineage& lineage) {
  try {
    spawn_successor(command, estate, manager, lineage);
  } catch (const std::exception& error) {
    if (child_.pid() > 0) {  // else it would serve, as if this master had died
      child_.kill(SIGKILL);
      child_.reap();
    }
    co_return std::string(error.what());
  }
  const std::string name = fmt::format("the new master, pid {}", child_.pid());
  const TimePoint limit = deadline_after(reactor_.now(), command.ready_timeout);
  while (!ready_ && !closed_ && !given_up_ && reactor_.now() < limit) {
    co_await progress_.wait(limit);
  }
  if (ready_ && !closed_ && !given_up_) co_return "";
  std::string problem = problem_;
  if (given_up_) {
    problem = "this master stops, killed";
  } else if (!closed_) {
    problem = fmt::format("not ready within {}, killed", in_words(command.ready_timeout));
  }
  // One that has closed its channel is about to end by itself.
  if (closed_ && problem.empty()) {
    FdWatcher exited(reactor_, child_.pidfd());
    WaitTimeout patience(exited, reactor_.now() + std::chrono::seconds(1));
    const bool ended = child_.has_ended() || co_await exited.readable();
    if (!ended) problem = "it closed its channel, killed";
  }
  child_.kill(SIGKILL);
  link_->end();
  const ExitStatus status = child_.reap();
  if (problem.empty()) problem = status.text() + ", before it was ready";
  co_return fmt::format("{}: {}", name, problem);
}

void Succession::spawn_successor(const SuccessorCommand& command, const Estate& estate,
                                 const ServiceManager& manager, Lineage& lineage) {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  SpawnOptions options;
  options.path = command.program;
  options.argv = command.argv;
  options.new_group = false;  // it takes our place on the terminal too
  options.descriptors = {
      {STDIN_FILENO, STDIN_FILENO}, {STDOUT_FILENO, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
  Will will(options);
  nlohmann::ordered_json text = {{"channel", will.add(theirs.get())},
                                 {"listeners", nlohmann::ordered_json::array()}};
  for (const Listener* listener : estate.listeners) {
    text["listeners"].push_back(will.add(*listener));
  }
  if (estate.join != nullptr) text["join"] = will.add(*estate.join);
  if (estate.control != nullptr) text["control"] = will.add(*estate.control);
  if (estate.pidfile >= 0) text["pidfile"] = will.add(estate.pidfile);
  const int original = lineage.end_for_successor();
  if (original >= 0) text["original"] = will.add(original);
  // A variable may have 128 KiB, which many listeners exceed.
  const Fd file = make_input_file("handoff-succession", text.dump());
  options.environment = inherited_environment();
  set_variable(options.environment, kVariable, std::to_string(will.add(file.get())));
  for (std::string& variable : manager.variables()) {
    options.environment.push_back(std::move(variable));
  }
  child_ = spawn(options);
  started_(child_.pid());
  lineage.successor_started(child_);
  link_ = std::make_shared<WorkerChannel>(reactor_, static_cast<WorkerChannel::Owner&>(*this),
                                          custody_, Handshake::full, 0, std::move(ours));
  link_->start();
}

bool Succession::is_done() const {
  return closed_ || (link_->unacknowledged() == 0 && dispatcher_.waiting() == 0);
}

void Succession::worker_ready(WorkerChannel&) {
  ready_ = true;
  progress_.notify_all();
}

void Succession::worker_has_room(WorkerChannel& link) {
  dispatcher_.worker_has_room(link);
  progress_.notify_all();
}

void Succession::connection_returned(WorkerChannel&, HeldConnection held) {
  dispatcher_.work_arrived(std::move(held));
}

void Succession::send_failed(WorkerChannel&, std::size_t connections, int error) {
  report_(Severity::error, fmt::format("cannot pass {} to the new master: {}",
                                       counted(connections, "connection"), error_text(error)));
}

void Succession::worker_closed(WorkerChannel& link, const std::string& problem) {
  closed_ = true;
  problem_ = problem;
  if (ready_) {
    dispatcher_.worker_left(link);
    for (HeldConnection& held : link.take_unacknowledged())
      dispatcher_.work_arrived(std::move(held));
    if (!given_up_) report_(Severity::error, "cannot upgrade: the new master is gone");
  }
  progress_.notify_all();
}

}  // namespace handoff
