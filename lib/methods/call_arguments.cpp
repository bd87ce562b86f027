// SPDX-License-Identifier: MIT
#include "methods/call_arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include <handoff/wire/json_text.hpp>

#include "os/environment.hpp"
#include "wire/json_reader.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// The most bytes of a name that an error repeats to the client that sent it.
constexpr std::size_t kMaxNameInMessage = 100;

/// A name and a value as they stand in the params; an element of an array has no name.
struct Member {
  std::string_view name;
  std::string_view value;
};

/// The members of the params. Each argument takes at least one byte, so that no more members are
/// kept than there can be bytes, although more may be read.
class Members {
 public:
  Member& add() { return all_.size() > kMaxArgumentBytes ? spare_ : all_.emplace_back(); }
  const std::deque<Member>& all() const { return all_; }

 private:
  std::deque<Member> all_;
  Member spare_;
};

bool is_letter(char byte) {
  return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';
}

bool is_variable_name(std::string_view name) {
  return !name.empty() && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char byte) { return is_letter(byte) || (byte >= '0' && byte <= '9'); });
}

JsonProblem read_elements(JsonReader& reader, Members& members) {
  reader.take('[');
  if (reader.take(']')) { return JsonProblem::none; }
  do {
    const auto problem = reader.read_value(2, members.add().value);
    if (problem != JsonProblem::none) { return problem; }
  } while (reader.take(','));
  return JsonProblem::none;
}

JsonProblem read_members(JsonReader& reader, Members& members) {
  return reader.read_object(1, [&](std::string_view name) -> std::string_view& {
    Member& member = members.add();
    member.name = name;
    return member.value;
  });
}

std::string text_of(const JsonReader& reader, std::string_view value) {
  if (!value.starts_with('"')) { return minify_json(value); }
  std::string copy;
  return std::string(reader.unescape(value, copy));
}

Status bad_name(std::string_view name) {
  return Status::failure(
      fmt::format("the name '{}' can't be that of a variable: write letters, "
                  "digits and _, not a digit first",
                  name.substr(0, kMaxNameInMessage)));
}

}  // namespace

Status read_call_arguments(std::string_view params, CallArguments& arguments) {
  thread_local JsonReader reader;
  const std::string copy = padded(params);
  JsonProblem problem = reader.open(std::string_view(copy).substr(0, params.size()));
  const char kind = reader.peek();
  Members members;
  if (kind == 'n') { return Status::ok(); }
  if (kind != '[' && kind != '{') {
    return Status::failure("the params must be an array or an object: they become arguments");
  }
  if (problem == JsonProblem::none) {
    problem = kind == '[' ? read_elements(reader, members) : read_members(reader, members);
  }
  if (problem != JsonProblem::none) { return Status::failure(std::string(describe(problem))); }

  std::size_t size = 0;
  std::set<std::string> names;
  for (const Member& member : members.all()) {
    std::string text = text_of(reader, member.value);
    if (text.find('\0') != std::string::npos) {
      return Status::failure("an argument can't have a NUL in it");
    }
    if (kind == '{') {
      const std::string name = text_of(reader, member.name);
      if (!is_variable_name(name)) { return bad_name(name); }
      if (!names.insert(name).second) {
        return Status::failure(
            fmt::format("the name '{}' comes twice", name.substr(0, kMaxNameInMessage)));
      }
      text = assignment(variable::kArgumentPrefix + name, text);
    }
    size += text.size() + 1;
    if (size > kMaxArgumentBytes) {
      return Status::failure(
          fmt::format("the arguments exceed the limit of {} bytes", kMaxArgumentBytes));
    }
    (kind == '{' ? arguments.variables : arguments.words).push_back(std::move(text));
  }
  return Status::ok();
}

}  // namespace handoff
