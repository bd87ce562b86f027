// SPDX-License-Identifier: MIT
#include "master/master_options.hpp"

namespace handoff {

const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::connection: return "connection";
    case Pass::listener: return "listener";
    case Pass::queue: return "queue";
  }
  return "";
}

const char* name_of(Balance balance) {
  switch (balance) {
    case Balance::round_robin: return "round-robin";
    case Balance::least: return "least";
    case Balance::hash: return "hash";
  }
  return "";
}

Balance MasterOptions::balance_of_passed() const {
  switch (pass) {
    case Pass::connection: return balance;
    case Pass::listener: return Balance::least;
    case Pass::queue: return Balance::round_robin;
  }
  return balance;
}

}  // namespace handoff
