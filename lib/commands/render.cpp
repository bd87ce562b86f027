// SPDX-License-Identifier: MIT
#include "commands/render.hpp"

#include "os/printable.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

/// Returns the offset after the closing quote of the string that opens at `start`.
std::size_t string_end(std::string_view json, std::size_t start) {
  std::size_t at = start + 1;
  while (json[at] != '"') { at += json[at] == '\\' ? 2 : 1; }
  return at + 1;
}

/// Indents a JSON text that has no white space between its tokens.
std::string indent(std::string_view json) {
  std::string out;
  std::size_t depth = 0;
  const auto new_line = [&] { out.append(1, '\n').append(2 * depth, ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char token = json[i];
    switch (token) {
      case '"': {
        const std::size_t end = string_end(json, i);
        out.append(json.substr(i, end - i));
        i = end - 1;
        break;
      }
      case '{':
      case '[':
        out.push_back(token);
        if (json[i + 1] == '}' || json[i + 1] == ']') {
          out.push_back(json[++i]);
        } else {
          ++depth;
          new_line();
        }
        break;
      case '}':
      case ']':
        --depth;
        new_line();
        out.push_back(token);
        break;
      case ',':
        out.push_back(token);
        new_line();
        break;
      case ':': out.append(": "); break;
      default: out.push_back(token);
    }
  }
  return out;
}

}  // namespace

std::string render_json(std::string_view json, Rendering rendering, Output output) {
  if (rendering == Rendering::raw) {
    if (auto text = json_string(json)) { return *std::move(text); }
  }
  std::string text = minify_json(json);
  if (rendering == Rendering::pretty) { text = indent(text); }
  return output == Output::terminal ? printable_json(text) : text;
}

}  // namespace handoff
