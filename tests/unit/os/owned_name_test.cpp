// SPDX-License-Identifier: MIT
#include "os/owned_name.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <handoff/os/error.hpp>

#include "unit/support.hpp"

namespace handoff {
namespace {

namespace fs = std::filesystem;

/// A file that is kept open, so that no other gets its inode.
struct File {
  explicit File(const std::string& path)
      : fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    REQUIRE(fd.valid());
  }
  FileIdentity identity() const { return identity_of_descriptor(fd.get()); }
  Fd fd;
};

TEST_CASE("a name is removed with its owner") {
  const test::TemporaryDirectory directory;
  const File file(directory.path("f"));
  { const OwnedName name(directory.path("f"), file.identity()); }
  CHECK(directory.entries() == 0);
}

TEST_CASE("a name that refers to another file by then is left alone") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("f");
  const File file(path);
  {
    const OwnedName name(path, file.identity());
    CHECK(name.is_in_place());
    fs::remove(path);
    CHECK(!name.is_in_place());
    test::write_file(path, "precious");
    CHECK(!name.is_in_place());
  }
  CHECK(test::read_file(path) == "precious");
}

TEST_CASE("a symlink to the file is not the name of the file") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path("f");
  const File file(path);
  {
    const OwnedName name(path, file.identity());
    fs::rename(path, directory.path("elsewhere"));
    fs::create_symlink(directory.path("elsewhere"), path);
  }
  CHECK(fs::is_symlink(path));
}

TEST_CASE("a name of another process is left to it") {
  const test::TemporaryDirectory directory;
  const File file(directory.path("f"));
  {
    OwnedName name(directory.path("f"), file.identity());
    name.set_owner(OwnedName::Owner::another_process);
  }
  CHECK(directory.entries() == 1);
}

TEST_CASE("a name that was moved from removes nothing, and one that is assigned to does") {
  const test::TemporaryDirectory directory;
  const File first(directory.path("first"));
  const File second(directory.path("second"));
  OwnedName name(directory.path("first"), first.identity());
  std::optional<OwnedName> other(std::in_place, directory.path("second"), second.identity());
  name = std::move(*other);
  other.reset();
  CHECK(!fs::exists(directory.path("first")));
  CHECK(fs::exists(directory.path("second")));
  CHECK(name.is_in_place());
}

TEST_CASE("a file moves to a free name, or to that of the file that it replaces, and to no other") {
  const test::TemporaryDirectory directory;
  const std::string target = directory.path("target");
  const File file(directory.path("f"));
  OwnedName name(directory.path("f"), file.identity());
  const auto move = [&](std::optional<FileIdentity> replaced) {
    name.move_to(target, replaced, "move");
  };

  test::write_file(target, "precious");
  const auto found = identity_of_name(target);
  CHECK(test::thrown_by<SystemError>([&] { move(std::nullopt); }).error_number() == EEXIST);
  CHECK(test::thrown_by<SystemError>([&] { move(file.identity()); }).error_number() == EEXIST);
  CHECK(test::read_file(target) == "precious");
  CHECK(name.is_in_place());

  move(found);
  CHECK(name.path() == target);
  CHECK(name.is_in_place());
  CHECK(directory.entries() == 1);

  name.move_to(directory.path("free"), std::nullopt, "move");
  CHECK(name.is_in_place());
  CHECK(!fs::exists(target));
}

TEST_CASE("a file that is gone cannot be moved") {
  const test::TemporaryDirectory directory;
  const File file(directory.path("f"));
  OwnedName name(directory.path("f"), file.identity());
  fs::remove(directory.path("f"));
  const auto error = test::thrown_by<SystemError>(
      [&] { name.move_to(directory.path("g"), std::nullopt, "move"); });
  CHECK(error.error_number() == ENOENT);
  CHECK(error.what() == "cannot move " + directory.path("g") + ": " + error_text(ENOENT));
}

}  // namespace
}  // namespace handoff
