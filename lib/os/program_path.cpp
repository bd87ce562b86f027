// SPDX-License-Identifier: MIT
#include "os/program_path.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>

#include "os/environment.hpp"
#include "os/error.hpp"

namespace handoff {

std::vector<std::string> paths_of(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) { return {name}; }
  const std::string path = read_variable(variable::kPath).value_or("/usr/local/bin:/usr/bin:/bin");
  std::string_view folders = path;
  std::vector<std::string> paths;
  while (true) {
    const auto colon = folders.find(':');
    const std::string_view folder = folders.substr(0, colon);
    paths.push_back(fmt::format("{}/{}", folder.empty() ? "." : folder, name));
    if (colon == std::string_view::npos) { return paths; }
    folders.remove_prefix(colon + 1);
  }
}

std::string find_program(const std::string& name) {
  const auto check = [](const std::string& path) {
    struct stat found {};
    if (stat(path.c_str(), &found) < 0) { return errno; }
    if (S_ISDIR(found.st_mode)) { return EACCES; }
    return access(path.c_str(), X_OK) == 0 ? 0 : errno;
  };
  const std::vector<std::string> paths = paths_of(name);
  int error = ENOENT;
  for (const std::string& path : paths) {
    const int problem = check(path);
    if (problem == 0) { return path; }
    if (problem == EACCES || paths.size() == 1) { error = problem; }
  }
  throw SystemError(error, "run", name);
}

std::string own_program(const std::string& name) {
  try {
    return std::filesystem::absolute(find_program(name));
  } catch (const SystemError&) {
    return std::filesystem::read_symlink(
        "/proc/self/exe");  // the program was called by a name that does not lead to it
  }
}

}  // namespace handoff
