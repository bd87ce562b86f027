// SPDX-License-Identifier: MIT
#include "methods/method_directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "methods/command.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

bool is_executable(int directory, const char* name) {
  struct stat found {};
  return fstatat(directory, name, &found, 0) == 0 && S_ISREG(found.st_mode) &&
         faccessat(directory, name, X_OK, AT_EACCESS) == 0;
}

/// Returns whether the name stands for several methods, and so cannot be that of one.
bool is_pattern(std::string_view name) {
  return name == "*" || name.ends_with(".*");
}

/// A client can ask only for a name that is UTF-8.
bool is_utf8(std::string_view name) {
  return json_string(quote_json(name)) == name;
}

std::vector<std::string> list_executables(const Fd& directory, const std::string& path) {
  // The stream closes the descriptor that it is given.
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory.duplicate().release()),
                                                   &closedir);
  if (!stream) { throw SystemError(errno, "list", path); }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with('.') || is_pattern(name) || !is_utf8(name)) { continue; }
    if (is_executable(directory.get(), entry->d_name)) { names.emplace_back(name); }
  }
  return names;
}

}  // namespace

void add_directory(MethodTable& table, Reactor& reactor, ChildRunner& runner,
                   const std::string& path) {
  const auto directory =
      std::make_shared<Fd>(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory->valid()) { throw SystemError(errno, "open", path); }
  for (const std::string& name : list_executables(*directory, path)) {
    if (table.has(name)) { continue; }
    // The path leads through this process, because the program's process is not given the
    // descriptor.
    Program program{{name}, fmt::format("/proc/{}/fd/{}/{}", getpid(), directory->get(), name)};
    table.add(
        name,
        [directory, handler = command_handler(reactor, runner, std::move(program))](Call call) {
          return handler(std::move(call));
        },
        Supervision::handler);
  }
}

}  // namespace handoff
