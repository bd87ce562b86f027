// SPDX-License-Identifier: MIT
#include "async/linked_list.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

struct First;
struct Second;

struct Letter : ListNode<First>, ListNode<Second> {
  explicit Letter(char its_text) : text(its_text) {}
  char text;
};

template <typename Tag>
std::string text(const LinkedList<Letter, Tag>& list) {
  std::string result;
  for (const Letter* letter = list.first(); letter != nullptr; letter = list.after(*letter)) {
    result += letter->text;
  }
  return result;
}

TEST_CASE("objects are added at either end of a list, and removed anywhere") {
  Letter a('a');
  Letter b('b');
  Letter c('c');
  LinkedList<Letter, First> list;
  CHECK(list.empty());
  CHECK(list.first() == nullptr);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  CHECK(text(list) == "abc");
  CHECK(list.size() == 3);
  CHECK(list.front().text == 'a');
  CHECK(list.back().text == 'c');
  list.remove(b);
  CHECK(text(list) == "ac");
  CHECK(!b.ListNode<First>::is_listed());
  CHECK(list.pop_front().text == 'a');
  list.push_back(b);
  CHECK(text(list) == "cb");
  list.remove(c);
  list.remove(b);
  CHECK(list.empty());
  CHECK(list.size() == 0);
}

TEST_CASE("an object is put before another one, also before the first") {
  Letter a('a');
  Letter b('b');
  Letter c('c');
  LinkedList<Letter, First> list;
  list.push_back(c);
  list.insert_before(c, a);
  list.insert_before(c, b);
  CHECK(text(list) == "abc");
  CHECK(list.size() == 3);
  while (!list.empty()) { list.pop_front(); }
}

TEST_CASE("an object is in two lists at a time, by a base for each") {
  Letter a('a');
  Letter b('b');
  LinkedList<Letter, First> one;
  LinkedList<Letter, Second> two;
  one.push_back(a);
  one.push_back(b);
  two.push_front(a);
  two.push_front(b);
  CHECK(text(one) == "ab");
  CHECK(text(two) == "ba");
  one.remove(a);
  CHECK(text(one) == "b");
  CHECK(text(two) == "ba");
  one.remove(b);
  two.remove(a);
  two.remove(b);
}

}  // namespace
}  // namespace handoff
