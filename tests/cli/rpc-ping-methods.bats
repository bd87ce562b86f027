#!/usr/bin/env bats
# shellcheck disable=SC2154 # common.bash has the rest
# SPDX-License-Identifier: MIT
# The time that a method takes, and checks that say nothing if all is well.

load common

@test "any method can be timed, and one that fails is no reply" {
  start_worker -m slow='echo 1'
  tool rpc-ping -c 1 -m slow ./w
  expect_match 0 $'PING ./w: calls of slow, 4 bytes of params\nreply from ./w: seq=1 .*1 received.*' ''
  tool rpc-ping -c 1 -m echo --params '[1, 2]' ./w
  expect_match 0 $'PING ./w: calls of echo, 6 bytes of params\nreply from .*' ''
  tool rpc-ping -c 1 -m nope ./w
  expect_match 1 '.*0 received.*' 'rpc-ping: seq=1 to ./w failed: no such method: nope.*'
  refuses '--params {: not valid JSON: misplaced or missing punctuation at column 2, the end' rpc-ping -m x --params '{' :1
}

@test "a check says nothing if all is well, and one line otherwise" {
  start_worker
  tool rpc-ping --check ./w
  expect 0 '' ''
  tool rpc-ping --check ./nobody
  expect 3 '' 'rpc-ping: cannot connect to ./nobody: No such file or directory'
  tool rpc-ping --check -m nope ./w
  expect_match 1 '' 'rpc-ping: cannot ping ./w: no such method: nope \(code -32601\)'
  tool rpc-ping --check --fail-rtt max:1us ./w
  expect_match 1 '' 'rpc-ping: the round trips to ./w are too long: max is .* ms, more than 0.001 ms'
  refuses '--check does not go with --json' rpc-ping --check -J ./w
}
