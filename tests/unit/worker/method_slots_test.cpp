// SPDX-License-Identifier: MIT
#include "worker/method_slots.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace handoff {
namespace {

std::shared_ptr<const ledger::Ledger> make_ledger() {
  return std::make_shared<const ledger::Ledger>(
      ledger::Ledger::make({.methods = ledger::kMethodSlots}).first);
}

TEST_CASE("the names of the methods stand in the ledger, after those of no method") {
  MethodSlots slots;
  slots.add({"sum", "wait"});
  const auto ledger = make_ledger();
  slots.use(ledger);
  CHECK(ledger->method_name(ledger::kOtherMethods).load() == ledger::kNameOfOthers);
  CHECK(ledger->method_name(ledger::kUnknownMethods).load() == ledger::kNameOfUnknown);
  CHECK(ledger->slot_of("sum") == 2);
  CHECK(ledger->slot_of("wait") == 3);
  CHECK(ledger->slot_of("none") == ledger::kOtherMethods);
}

TEST_CASE("a name that is added later stands in the ledger too, and the others keep their slots") {
  MethodSlots slots;
  slots.add({"b"});
  const auto ledger = make_ledger();
  slots.use(ledger);
  slots.add({"a", "b"});
  CHECK(ledger->slot_of("b") == 2);
  CHECK(ledger->slot_of("a") == 3);
}

TEST_CASE("a name has the same slot in the next ledger, also when its method is gone") {
  MethodSlots slots;
  slots.add({"gone", "kept"});
  slots.use(make_ledger());
  slots.use(nullptr);
  slots.add({"kept"});
  const auto next = make_ledger();
  slots.use(next);
  CHECK(next->slot_of("gone") == 2);
  CHECK(next->slot_of("kept") == 3);
}

TEST_CASE("methods that there is no slot for, and those with long names, have none of their own") {
  std::vector<std::string> names = {std::string(100, 'x')};
  for (int i = 0; i < 100; ++i) { names.push_back("m" + std::to_string(i)); }
  MethodSlots slots;
  slots.add(names);
  const auto ledger = make_ledger();
  slots.use(ledger);
  CHECK(ledger->slot_of(names[0]) == ledger::kOtherMethods);
  CHECK(ledger->slot_of("m61") == 63);
  CHECK(ledger->slot_of("m62") == ledger::kOtherMethods);
}

TEST_CASE("a ledger without room for methods stays as it is") {
  MethodSlots slots;
  slots.add({"sum"});
  const auto ledger = std::make_shared<const ledger::Ledger>(ledger::Ledger::make({}).first);
  slots.use(ledger);
  slots.add({"more"});
  CHECK(ledger->slot_of("sum") == ledger::kOtherMethods);
}

}  // namespace
}  // namespace handoff
