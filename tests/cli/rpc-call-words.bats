#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test has variables of its own
# SPDX-License-Identifier: MIT
# What rpc-call spares those who type: a server that is named once, params from a file, and a hint
# at a misspelt word.

load common

@test "RPC_ADDR names the server, unless the first word is an address" {
  start_worker
  export RPC_ADDR=./w
  tool rpc-call echo 7
  expect 0 7 ''
  tool rpc-call --list
  expect_match 0 $'echo\n.*' ''
  tool rpc-ping -c 1 -q
  expect_match 0 $'PING ./w: .*1 received.*' ''
  export RPC_ADDR=./nobody
  tool rpc-call ./w echo 7
  expect 0 7 ''
  tool rpc-call echo 7
  expect 3 '' 'rpc-call: cannot connect to ./nobody: No such file or directory'
}

@test "an RPC_ADDR that is empty is none, and one that is no address is a usage error" {
  export RPC_ADDR=
  refuses 'no ADDR (see rpc-call --help)' rpc-call
  refuses 'no ADDR (see rpc-ping --help)' rpc-ping
  export RPC_ADDR=fd:99
  refuses 'RPC_ADDR fd:99: the descriptor is not open' rpc-call echo
}

@test "params come from a file, or whole from standard input" {
  start_worker
  echo '{"a": 1}' >params
  tool rpc-call ./w echo @params
  expect 0 '{"a":1}' ''
  tool rpc-call ./w echo @- <params
  expect 0 '{"a":1}' ''
  tool rpc-call ./w echo @none
  expect 125 '' 'rpc-call: cannot open none: No such file or directory'
  echo '{' >params
  tool rpc-call ./w echo @params
  expect_match 2 '' 'rpc-call: params @params: not valid JSON: .*'
}

@test "after a method or an option that does not exist, one that resembles it is named" {
  start_worker
  tool rpc-call ./w pign
  expect_match 1 '' '.*no such method: pign \(did you mean ping\?\)'
  tool rpc-call ./w something-else
  expect_match 1 '' '.*no such method: something-else'
  refuses 'unknown option --tiemout=3 (did you mean --timeout?)' rpc-call --tiemout=3 ./w ping
}

@test "a user is allowed by name or by number" {
  tool rpc-worker -l ./s --allow-uid nobody-of-this-name
  expect 2 '' 'rpc-worker: --allow-uid nobody-of-this-name: no user has that name or number'
  start worker rpc-worker -l ./s --allow-uid root --allow-uid 65534
  said worker 'ready'
}
