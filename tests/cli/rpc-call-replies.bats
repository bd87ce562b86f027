#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Replies that fit no call: what they say is never shown as the answer to another one.

load common

# frames BODY...: an action of the scripted server that sends them together.
frames() {
  echo "bytes:$(for body in "$@"; do frame "$body"; done | od -An -v -tx1 | tr -d ' \n')"
}

@test "a reply of JSON-RPC with another id is no answer" {
  start_server ./s 'reply:{"jsonrpc":"2.0","result":"wrong","id":999}' \
    'reply:{"jsonrpc":"2.0","result":"wrong","id":"1"}' \
    'reply:{"jsonrpc":"2.0","error":{"code":5,"message":"wrong"},"id":2}'
  local why='rpc-call: ./s sent a reply to another call: it has'
  tool rpc-call --jsonrpc ./s m
  expect 4 '' "$why the id 999, and the call has the id 1"
  tool rpc-call --jsonrpc ./s m
  expect 4 '' "$why the id \"1\", and the call has the id 1"
  tool rpc-call --jsonrpc --ok 5 ./s m
  expect 4 '' "$why the id 2, and the call has the id 1"
}

@test "a result of JSON-RPC without an id is no answer" {
  start_server ./s 'reply:{"jsonrpc":"2.0","result":"wrong","id":null}' \
    'reply:{"jsonrpc":"2.0","result":"wrong"}' 'reply:{"out":"m","result":"wrong"}'
  for _ in 1 2 3; do
    tool rpc-call --jsonrpc ./s m
    expect 4 '' 'rpc-call: ./s sent a reply to another call: it has no id, and the call has the id 1'
  done
}

@test "a reply with an id is no answer to a call without one" {
  start_server ./s 'reply:{"out":"m","result":"wrong","id":7}'
  tool rpc-call ./s m
  expect 4 '' 'rpc-call: ./s sent a reply to another call: it has the id 7, and the call has none'
}

@test "two replies to one call are no answer, for either may be wrong" {
  start_server ./s "$(frames '{"out":"m","result":1}' '{"out":"m","result":2}')"
  tool rpc-call ./s m
  expect 4 '' 'rpc-call: ./s sent more replies than there were calls'
}

@test "two replies to each line end with status 4" {
  start_server ./s "$(frames '{"out":"m","result":1}' '{"out":"m","result":1}')"
  tool rpc-call --pipeline 1 ./s m - <<<$'1\n2'
  expect_match 4 '.*' 'rpc-call: ./s sent more replies than there were calls'
}

@test "a second reply of JSON-RPC to a line is an answer to no other" {
  local first='{"jsonrpc":"2.0","result":"one","id":1}'
  start_server ./s silent "$(frames "$first" "$first")" "$(frames "$first")"
  tool rpc-call --jsonrpc ./s m - <<<$'[1]\n[2]'
  expect 4 '"one"' 'rpc-call: ./s sent a reply to another call: it has the id 1, and the call has the id 2'
}

@test "a second reply of JSON-RPC to a line that is not due yet is refused" {
  local second='{"jsonrpc":"2.0","result":"two","id":2}'
  start_server ./s silent "$(frames "$second" "$second")"
  tool rpc-call --jsonrpc ./s m - <<<$'[1]\n[2]'
  expect 4 $'null\n"two"' 'rpc-call: ./s sent more replies than there were calls (at line 2)'
}

@test "a reply of JSON-RPC to a line that was never sent is refused" {
  start_server ./s 'reply:{"jsonrpc":"2.0","result":"two","id":2}'
  tool rpc-call --jsonrpc ./s m - <<<$'[1]\nno JSON'
  expect_match 4 '.*' '(.*line 2 of stdin: not JSON.*)?rpc-call: ./s sent more replies than there were calls \(at line 2\).*'
  tool rpc-call --jsonrpc ./s m - <<<'[1]'
  expect 4 '' 'rpc-call: ./s sent a reply to another call: it has the id 2, and the call has the id 1'
}

@test "a reply that was there before the first call is no answer to it" {
  start_server --greeting '{"out":"m","result":"wrong"}' ./s 'reply:{"out":"m","result":1}'
  start_lines ./s
  said server '^greeted'
  line 1
  end_lines
  finish lines
  expect 4 '' 'rpc-call: ./s sent something before there was a call'
}

@test "a reply that arrives between two calls is no answer to the second" {
  start_server ./s "$(frames '{"out":"m","result":1}' '{"out":"m","result":"wrong"}')"
  start_lines ./s
  line 1
  eventually grep -q 1 lines.out
  line 2
  end_lines
  finish lines
  expect 4 1 'rpc-call: ./s sent more replies than there were calls'
}
