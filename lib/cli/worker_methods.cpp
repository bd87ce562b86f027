// SPDX-License-Identifier: MIT
#include "cli/worker_methods.hpp"

#include <handoff/os/address.hpp>

#include "cli/option_values.hpp"
#include "methods/command.hpp"
#include "methods/method_directory.hpp"
#include "os/program.hpp"
#include "rpc/builtin_methods.hpp"

namespace handoff {

WorkerMethods::WorkerMethods(Reactor& reactor, ChildRunner& runner,
                             const WorkerToolOptions& options, const AddMethods& add_own,
                             std::mutex& adding)
    : reactor_(reactor), options_(options), add_own_(add_own), adding_(adding), runner_(runner) {
  for (const std::string& text : options.coprocesses) {
    auto [name, command] = split_name_value("--coprocess", text, "NAME=CMD");
    coprocesses_.emplace_back(
        name, std::make_unique<Coprocess>(reactor, runner_, name, command, options.pool));
  }
  for (const std::string& text : options.services) {
    auto [name, command] = split_name_value("--service", text, "NAME=CMD");
    Service::Limits limits;
    limits.pool_size = options.pool;
    limits.max_calls = options.worker.limits.concurrency;
    services_.emplace_back(name,
                           std::make_unique<Service>(reactor, runner_, name, command, limits));
  }
  UpstreamOptions forward;
  forward.max_frame = options.worker.limits.max_frame;
  for (const std::string& text : options.forwards) {
    auto [name, address] = split_name_value("--forward", text, "NAME=ADDR");
    auto& server = servers_[address];
    if (!server) {
      server = std::make_unique<UpstreamPool>(reactor, AddressList::parse(address), forward);
    }
    forwards_.emplace_back(name, server.get());
  }
}

std::shared_ptr<const MethodTable> WorkerMethods::make() {
  auto table = std::make_shared<MethodTable>();
  for (const std::string& text : options_.methods) {
    auto [name, command] = split_name_value("--method", text, "NAME=CMD");
    table->add(name, command_handler(reactor_, runner_, Program::shell(command)),
               Supervision::handler);
  }
  for (const auto& [name, coprocess] : coprocesses_) {
    table->add(
        name, [to = coprocess.get()](Call call) { return to->call(std::move(call)); },
        Supervision::handler);
  }
  for (const auto& [name, service] : services_) {
    table->add(
        name, [to = service.get()](Call call) { return to->call(std::move(call)); },
        Supervision::handler);
  }
  for (const auto& [name, server] : forwards_) { table->add_executor(name, *server); }
  add_own_methods(*table);
  for (const std::string& path : options_.directories) {
    add_directory(*table, reactor_, runner_, path);
  }
  add_built_in_methods(*table, worker_number().value_or(0));
  return table;
}

/// The lock makes the threads take turns, as AddMethods promises.
void WorkerMethods::add_own_methods(MethodTable& table) {
  if (!add_own_) { return; }
  const std::lock_guard lock(adding_);
  add_own_(table, reactor_);
}

}  // namespace handoff
