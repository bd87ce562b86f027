// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "os/sealed_memory.hpp"
#include "pass/ring.hpp"

namespace handoff {

/// Both ends of a pair of rings, as two processes have them; and each memory, to spoil it.
struct RingPair {
  explicit RingPair(std::size_t longest = 100) {
    const std::size_t size = RingEnd::memory_size(longest);
    SharedMemory ours = make_memory_to_write("test", size);
    SharedMemory theirs = make_memory_to_read("test", size);
    spoil = Mapping::writable(theirs.file.get());
    Mapping requests = Mapping::read_only(ours.file.get());
    Mapping replies = Mapping::writable(theirs.file.get());
    one.emplace(std::move(ours.mapping), std::move(theirs.mapping));
    other.emplace(std::move(replies), std::move(requests));
  }
  RingState& state() { return *reinterpret_cast<RingState*>(spoil.data()); }
  char* records() { return spoil.data() + 4096; }
  std::size_t capacity() { return spoil.size() - 4096; }

  std::optional<RingEnd> one;
  std::optional<RingEnd> other;
  Mapping spoil;  ///< the memory of `other`
};

inline bool write_text(RingEnd& ring, std::string_view text) {
  return ring.write(std::array{text});
}

inline std::string read_text(RingEnd& ring) {
  std::string copy;
  const auto record = ring.read(copy);
  return record ? std::string(*record) : "nothing";
}

}  // namespace handoff
