// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

/// What json_reader.cpp uses of simdjson, as version SIMDJSON_VERSION_NUMBER (300 for 3.0) declares
/// it. Its first pass knows only texts that are one string.
namespace simdjson {

constexpr std::size_t SIMDJSON_PADDING = 64;

enum error_code : std::uint8_t {
  SUCCESS,
  EMPTY,
  UTF8_ERROR,
  UNESCAPED_CHARS,
  UNCLOSED_STRING,
  MEMALLOC
};
enum class stage1_mode : std::uint8_t { regular };

namespace internal {

class dom_parser_implementation {
 public:
  virtual ~dom_parser_implementation() = default;

  std::size_t capacity() const { return capacity_; }
  error_code set_capacity(std::size_t capacity) {
    capacity_ = capacity;
    return SUCCESS;
  }
  error_code stage1(const std::uint8_t* /*text*/, std::size_t size, stage1_mode /*mode*/) {
    structural_indexes = std::make_unique<std::uint32_t[]>(2);
    structural_indexes[1] = static_cast<std::uint32_t>(size);
    n_structural_indexes = 1;
    return SUCCESS;
  }

#if SIMDJSON_VERSION_NUMBER >= 302
  virtual std::uint8_t* parse_string(const std::uint8_t* from, std::uint8_t* to,
                                     bool allow_replacement) const noexcept = 0;
#else
  virtual std::uint8_t* parse_string(const std::uint8_t* from, std::uint8_t* to) const noexcept = 0;
#endif

  std::unique_ptr<std::uint32_t[]> structural_indexes;
  std::uint32_t n_structural_indexes = 0;

 private:
  std::size_t capacity_ = 0;
};

/// Takes a newline for the only escape, and half a surrogate pair for none unless it may replace
/// it.
class OnlyNewlines : public dom_parser_implementation {
 public:
#if SIMDJSON_VERSION_NUMBER >= 302
  std::uint8_t* parse_string(const std::uint8_t* from, std::uint8_t* to,
                             bool allow_replacement) const noexcept override {
    return copy(from, to, allow_replacement);
  }
#else
  std::uint8_t* parse_string(const std::uint8_t* from, std::uint8_t* to) const noexcept override {
    return copy(from, to, false);
  }
#endif

 private:
  static std::uint8_t* copy(const std::uint8_t* from, std::uint8_t* to, bool allow_replacement) {
    for (; *from != '"'; ++from) {
      if (*from == '\\') {
        if (*++from != 'n' && !allow_replacement) return nullptr;
        *to++ = '\n';
      } else {
        *to++ = *from;
      }
    }
    return to;
  }
};

}  // namespace internal

struct implementation {
  error_code create_dom_parser_implementation(
      std::size_t capacity, std::size_t /*max_depth*/,
      std::unique_ptr<internal::dom_parser_implementation>& made) const {
    made = std::make_unique<internal::OnlyNewlines>();
    return made->set_capacity(capacity);
  }
};

inline const implementation* get_active_implementation() {
  static const implementation only;
  return &only;
}

}  // namespace simdjson
