#!/usr/bin/env bats
# shellcheck disable=SC2154 # common.bash has the rest
# SPDX-License-Identifier: MIT
# How far the lines of rpc-call are, and calls that are made again and again.

load common

# has_lines FILE COUNT: the file has so many lines at least.
has_lines() {
  (($(wc -l <"$1") >= $2))
}

@test "USR1 tells how far the lines are" {
  start_worker
  start_lines ./w
  line 1
  eventually grep -qx 1 lines.out
  kill -USR1 "${pid[lines]}"
  said lines '^1 line, [0-9]+/s, 0 errors$'
  end_lines
  finish lines
  expect_match 0 1 '1 line, [0-9]+/s, 0 errors'
}

@test "--progress tells at the end how many lines there were, and how many errors" {
  start_worker
  printf '1\n{\n3\n' >lines
  tool rpc-call --progress ./w echo - <lines
  expect_match 1 $'1\nnull\n3' $'rpc-call: line 2 of stdin: not JSON: .*\n3 lines, [0-9]+/s, 1 error'
}

@test "--watch calls again and again, and waits for a server that has gone" {
  start_worker
  start watch rpc-call --watch 20ms ./w echo 7
  eventually has_lines watch.out 3
  kill -KILL "${pid[worker]}"
  said watch 'cannot connect to ./w: |the server closed the connection|ended the connection'
  rm -f ./w ./w.lock
  : >watch.out
  start_worker
  eventually has_lines watch.out 3
  [ "$(sort -u watch.out)" = 7 ]
}

@test "--progress needs lines, and --watch a single call" {
  refuses '--progress needs - in place of the params' rpc-call --progress :1 ping
  refuses '--watch does not go with -, --list, --jsonrpc or --retry' rpc-call --watch 1 :1 ping -
}
