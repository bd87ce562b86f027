#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# How rpc-worker tells framings apart, holds its limits, and ends.

load common

# Framing.

@test "lines are answered with lines, unless --framing is length" {
  printf '%s\n' '{"in":"ping"}' '{"jsonrpc":"2.0","method":"echo","id":7}' >requests
  local option
  for option in '' --framing=auto --framing=lines; do
    # shellcheck disable=SC2086 # a word or none
    tool rpc-worker --stdio $option <requests
    expect 0 $'{"out":"pong","result":null}\n{"jsonrpc":"2.0","result":null,"id":7}' ''
  done
  tool bash -c 'rpc-worker --stdio --framing length <requests | tail -c +5'
  expect 0 '{"out":"error","result":{"code":-32600,"message":"a frame of 1852383867 bytes exceeds the limit of 1048576"}}' ''
}

@test "lengths are answered with lengths, unless --framing is lines" {
  frame '{"in":"ping"}' >requests
  frame '{"out":"pong","result":null}' >replies
  local option
  for option in '' --framing=auto --framing=length; do
    # shellcheck disable=SC2086 # a word or none
    tool bash -c 'rpc-worker --stdio $1 <requests | cmp - replies' bash $option
    expect 0 '' ''
  done
  tool rpc-worker --stdio --framing lines <requests
  expect_match 0 '\{"out":"error","result":\{"code":-32700,"message":".*"\}\}' ''
}

@test "a client of bash alone can speak in lines" {
  start worker rpc-worker -l :0 -m "pretty=printf '[\n  1,\n  2\n]\n'"
  said worker ready
  tool bash -c 'exec 7<>"/dev/tcp/127.0.0.1/$1"
    for request in "{\"in\":\"pretty\"}" "" "nonsense" "{\"in\":\"ping\",\"params\":1}"; do
      echo "$request" >&7
      test -z "$request" || { read -r reply <&7; echo "$reply"; }
    done' bash "$(port_of worker)"
  expect_match 0 '\{"out":"pretty","result":\[ *1, *2\]\}
\{"out":"error","result":\{"code":-32700,"message":"[^"]*"\}\}
\{"out":"pong","result":1\}' ''
}

@test "the last line needs no newline, and blank lines are none" {
  tool rpc-worker --stdio < <(printf '\n\r\n{"in":"ping","params":1}\r\n\n{"in":"ping","params":2}')
  expect 0 $'{"out":"pong","result":1}\n{"out":"pong","result":2}' ''
  tool rpc-worker --stdio <<<$'\n\n\n'
  expect 0 '' ''
  tool rpc-worker --stdio <<<'{}'
  expect 0 "{\"out\":\"error\",\"result\":{\"code\":-32600,\"message\":\"no field 'in'\"}}" ''
}

@test "a first line that is no JSON is the last, and the answer says how to call" {
  tool rpc-worker --stdio <<<$'null\n{"in":"ping"}'
  expect_match 0 '\{"out":"error","result":\{"code":-32700,"message":"[^"]*rpc-call ADDR --list[^"]*"\}\}' ''
  tool rpc-worker --stdio <<<$'GET / HTTP/1.1\r\n\r\n{"in":"ping"}'
  expect_match 0 $'HTTP/1\\.1 400 [^{}]*\r\n\r\n[^{}\n]*rpc-call ADDR --list[^{}\n]*' ''
}

@test "a line over --max-frame is refused with an error, after what came before it" {
  printf '%s\n' '{"in":"ping"}' "$(printf '"%0100d"' 0)" '{"in":"ping"}' >requests
  tool rpc-worker --stdio --max-frame 100 <requests
  expect 0 '{"out":"pong","result":null}
{"out":"error","result":{"code":-32600,"message":"a frame of 102 bytes exceeds the limit of 100"}}' ''
}

@test "a line that does not arrive within --frame-timeout is an error, and the end" {
  start worker rpc-worker -l :0 --frame-timeout 100ms
  said worker ready
  tool bash -c "exec 7<>/dev/tcp/127.0.0.1/$(port_of worker); printf '{\"in\"' >&7; cat <&7"
  expect 0 '{"out":"error","result":{"code":-32002,"message":"the rest of the frame did not arrive in time"}}' ''
}

# Limits.

@test "a frame over --max-frame is refused with an error" {
  start_worker --max-frame 100
  tool rpc-call ./w echo "\"$(printf '%0100d' 0)\"" # {"in":"echo","params":...}
  expect 1 '' 'rpc-call: echo on ./w failed: a frame of 125 bytes exceeds the limit of 100'
  tool rpc-call ./w echo 1
  expect 0 1 ''
  stop_worker
}

@test "a connection that is idle for --idle-timeout is closed" {
  start worker rpc-worker -l :0 --idle-timeout 100ms
  said worker ready
  tool bash -c "cat </dev/tcp/127.0.0.1/$(port_of worker)"
  expect 0 '' ''
}

@test "a frame that does not arrive within --frame-timeout is an error, and the end" {
  start worker rpc-worker -l :0 --frame-timeout 100ms
  said worker ready
  tool bash -c "exec 7<>/dev/tcp/127.0.0.1/$(port_of worker); printf '\\033' >&7; tail -c +5 <&7"
  expect 0 '{"out":"error","result":{"code":-32002,"message":"the rest of the frame did not arrive in time"}}' ''
}

@test "with --credits 1 the next connection waits for the first to end" {
  start_worker --credits 1
  start_lines ./w
  line 1
  eventually lines_match lines.out '^1$' 1
  tool rpc-call -t 200ms ./w echo 2
  expect 124 '' 'rpc-call: cannot call ./w: timed out after 200ms'
  end_lines
  finish lines
  expect 0 1 ''
  tool rpc-call ./w echo 3
  expect 0 3 ''
}

# The end.

@test "TERM and INT end a worker that is idle" {
  local signal
  for signal in TERM INT; do
    start_worker
    stop worker "$signal"
    expect 0 '' 'rpc-worker: ready, on ./w'
  done
}

@test "TERM ends a connection that is idle" {
  start_worker
  start_lines ./w
  line 1
  eventually lines_match lines.out '^1$' 1
  stop_worker
  line 2
  finish lines
  # The line was not sent on the connection that has ended, and there is no other one.
  expect 3 1 'rpc-call: cannot connect to ./w: No such file or directory'
}

@test "TERM lets a call that runs finish" {
  start_worker -m "gated=$GATED"
  start_gated_call ./w
  kill -TERM "${pid[worker]}"
  eventually test ! -e w # it accepts no more
  tool rpc-call ./w ping
  expect 3 '' 'rpc-call: cannot connect to ./w: No such file or directory'
  open_gate
  finish call
  expect 0 true ''
  finish worker
  expect 0 '' 'rpc-worker: ready, on ./w'
}

@test "a call that runs past --drain-timeout is cut off, and counted" {
  start_worker --drain-timeout 200ms -m "gated=$GATED"
  start_gated_call ./w
  stop worker
  expect 124 '' 'rpc-worker: ready, on ./w
rpc-worker: ended with 1 connection cut off'
  finish call
  expect 4 '' 'rpc-call: cannot call ./w: the server closed the connection before it replied'
}

@test "a second TERM cuts off at once" {
  start_worker -m "gated=$GATED"
  start_gated_call ./w
  kill -TERM "${pid[worker]}"
  eventually test ! -e w
  stop worker
  expect 124 '' 'rpc-worker: ready, on ./w
rpc-worker: ended with 1 connection cut off'
}

@test "a worker that has cut off a command leaves nothing of it" {
  start_worker --drain-timeout 200ms -m 'hang=sleep 100 & echo $! $$ >pids; wait'
  start call rpc-call ./w hang
  eventually grep -qs ' ' pids
  stop worker
  expect_match 124 '' '.*: ended with 1 connection cut off'
  local child shell
  read -r child shell <pids
  eventually is_gone "$shell"
  PATIENCE=2 eventually is_gone "$child"
}

@test "-q leaves the readiness line out" {
  start worker rpc-worker -q -l ./w
  tool rpc-call --wait ./w echo 1
  expect 0 1 ''
  stop worker
  expect 0 '' ''
}

@test "closed standard streams do no harm" {
  start worker bash -c 'exec rpc-worker -l ./w -m "cat=cat" <&- >&- 2>&-'
  tool rpc-call --wait ./w cat '[1]'
  expect 0 '[1]' ''
  stop worker
  expect 0 '' ''
}
