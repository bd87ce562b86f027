#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# What rpc-worker writes to standard error: what methods have written to theirs.

load common

# The stderr of methods.

@test "what a command that succeeds writes to its stderr is in the log with its method" {
  start_worker -m 'sum=echo 3 numbers >&2; echo done >&2; jq add'
  tool rpc-call ./w sum '[1, 2, 4]'
  expect 0 7 ''
  said worker 'method sum: done'
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w
rpc-worker: method sum: 3 numbers
rpc-worker: method sum: done'
}

@test "what a command that fails writes to its stderr is in its error reply alone" {
  start_worker -m 'fail=echo no >&2; exit 1'
  tool rpc-call ./w fail
  expect 1 '' 'rpc-call: fail on ./w failed: exit status 1: no'
  stop_worker
}

@test "each line that a coprocess writes to its stderr is in the log while the coprocess runs" {
  start_worker -k 'co=while read -r line; do echo "asked $line" >&2; echo 1; done'
  tool rpc-call ./w co 5
  expect 0 1 ''
  said worker '^rpc-worker: method co: asked 5$'
  tool rpc-call ./w co 6
  expect 0 1 ''
  said worker '^rpc-worker: method co: asked 6$'
  stop worker
}

@test "each line that a service writes to its stderr is in the log with the name of -K" {
  start_worker -K 'se.*=while read -r line; do echo working >&2; echo "$line" | jq -c "{out: .in, result: 1, id}"; done'
  tool rpc-call ./w se.rvice
  [ "$status" = 0 ]
  said worker '^rpc-worker: method se\.\*: working$'
}

@test "a method can write no line of its own to the log, and command no terminal" {
  start_worker -m 'evil=printf "one\rrpc-worker: two\033[2J\n\302\233\n" >&2; echo 1'
  tool rpc-call ./w evil
  expect 0 1 ''
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w
rpc-worker: method evil: one\rrpc-worker: two\x1b[2J
rpc-worker: method evil: \u009b'
}

@test "with -q nothing that a method writes to its stderr is in the log" {
  start worker rpc-worker -q -l ./w -m 'loud=echo text >&2; echo 1'
  tool rpc-call --wait ./w loud
  expect 0 1 ''
  stop worker
  expect 0 '' ''
}

@test "a method that writes without end makes few lines, and the worker answers meanwhile" {
  start_worker --timeout 1s -k 'loud=yes >&2' -m 'loud2=yes >&2'
  start one rpc-call ./w loud
  start two rpc-call ./w loud2
  said worker '^rpc-worker: method loud: y$'
  tool rpc-call ./w ping 1
  expect 0 1 ''
  finish one
  finish two
  stop worker
  (($(wc -l <worker.err) < 250))
  said worker '^rpc-worker: method loud: y \(and [0-9]+ more like it\)$'
}
