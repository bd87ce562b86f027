#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# How rpc-call reaches a server, and servers that are away or misbehave.

load common

# Addresses.

@test "a port alone is on 127.0.0.1" {
  start worker rpc-worker -l 127.0.0.1:0
  said worker ready
  tool rpc-call ":$(port_of worker)" echo 1
  expect 0 1 ''
  tool rpc-call "localhost:$(port_of worker)" echo 1
  expect 0 1 ''
}

@test "an IPv6 address is written in brackets" {
  has_ipv6 || skip 'there is no IPv6'
  start worker rpc-worker -l '[::1]:0'
  said worker '^rpc-worker: ready, on \[::1\]:[0-9]+$'
  tool rpc-call "[::1]:$(port_of worker)" echo 1
  expect 0 1 ''
}

@test "a named socket is a path, absolute or not, with or without unix:" {
  start_worker
  local address
  for address in ./w "$PWD/w" unix:w "unix:$PWD/w"; do
    tool rpc-call "$address" echo 1
    expect 0 1 ''
  done
}

@test "of several addresses the first one that answers is called" {
  start_worker
  tool rpc-call ./nobody,./w echo 1
  expect 0 1 ''
  tool rpc-call ./w,./nobody echo 1
  expect 0 1 ''
  tool rpc-call -v ./nobody,./w echo 1
  expect 0 1 'rpc-call: connected to ./nobody,./w'
  tool rpc-call ./nobody,./nor_this echo 1
  expect 3 '' 'rpc-call: cannot connect to ./nobody: No such file or directory; cannot connect to ./nor_this: No such file or directory'
  export RPC_ADDR=./nobody,./w
  tool rpc-call echo 1
  expect 0 1 ''
}

@test "a comma with a word behind it that is no address is a part of a path" {
  start worker rpc-worker -l ./w,x
  said worker '^rpc-worker: ready, on ./w,x$'
  tool rpc-call ./w,x echo 1
  expect 0 1 ''
}

@test "an abstract socket is written with @" {
  local name="@handoff-test-$$-$RANDOM"
  start worker rpc-worker -l "$name"
  said worker "^rpc-worker: ready, on $name$"
  tool rpc-call "$name" echo 1
  expect 0 1 ''
}

@test "exec: speaks to a command's stdin and stdout" {
  tool rpc-call 'exec:rpc-worker --stdio' echo 1
  expect 0 1 ''
  tool rpc-call 'exec:echo hello >&2; exec rpc-worker --stdio' echo 1
  expect 0 1 'hello'
}

@test "exec: also speaks to a pipeline" {
  tool rpc-call 'exec:cat | rpc-worker --stdio | cat' echo '"through two pipes"'
  expect 0 '"through two pipes"' ''
}

@test "an exec: command that says nothing broke the protocol" {
  tool rpc-call exec:false echo 1
  expect_match 4 '' 'rpc-call: cannot call exec:false: .*'
}

@test "fd:N is a connection that was inherited" {
  start worker rpc-worker -l 127.0.0.1:0
  said worker ready
  tool bash -c "rpc-call fd:7 echo 1 7<>/dev/tcp/127.0.0.1/$(port_of worker)"
  expect 0 1 ''
}

@test "fd:N that is not open, or one way only, is a usage error" {
  local number
  for number in 3 4 5 6 7 9; do
    tool bash -c "rpc-call fd:$number echo 1 $number>&-"
    expect 2 '' "rpc-call: fd:$number: the descriptor is not open"
  done
  local why='the descriptor is not open for reading and writing'
  tool bash -c 'rpc-call fd:7 echo 1 7</dev/null'
  expect 2 '' "rpc-call: fd:7: $why"
  tool bash -c 'rpc-call fd:7 echo 1 7>/dev/null'
  expect 2 '' "rpc-call: fd:7: $why"
  tool bash -c 'rpc-call fd:0 echo 1 <&-'
  expect 2 '' "rpc-call: fd:0: $why"
}

# Servers that are not there, and those that come later.

@test "an address where nobody listens can't be reached" {
  tool rpc-call ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none: No such file or directory'
  start_worker
  stop worker KILL
  tool rpc-call ./w ping
  expect 3 '' 'rpc-call: cannot connect to ./w: Connection refused'
}

@test "a TCP port where nobody listens can't be reached" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 silent
  said server '^bound'
  tool rpc-call ":$(port_of server)" ping
  expect 3 '' "rpc-call: cannot connect to 127.0.0.1:$(port_of server): Connection refused"
}

@test "after so many retries an address that can't be reached still can't" {
  tool rpc-call --retry 2 ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none: No such file or directory'
}

@test "--retry reaches a server whose port opens later" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 \
    'reply:{"out":"echo","result":"late"}'
  said server '^bound'
  start call rpc-call --retry 1000 ":$(port_of server)" echo
  kill -USR1 "${pid[server]}"
  finish call
  expect 0 '"late"' ''
}

@test "--retry calls again when the server was busy" {
  local busy='reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  local stopping='reply:{"out":"error","result":{"code":-32005,"message":"stopping"}}'
  start_server ./s "$busy" "$stopping" 'reply:{"out":"echo","result":"served"}'
  tool rpc-call --retry 2 ./s echo
  expect 0 '"served"' ''
}

@test "a server that stays busy is an error in the end" {
  start_server ./s 'reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  tool rpc-call --retry 2 ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: busy'
  tool rpc-call ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: busy'
}

@test "--retry can't connect a descriptor again" {
  start_server 127.0.0.1:0 'reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  tool bash -c "rpc-call --retry 2 fd:7 echo 7<>/dev/tcp/127.0.0.1/$(port_of server)"
  expect 1 '' 'rpc-call: echo on fd:7 failed: busy'
}

@test "--retry does not repeat a call that was run" {
  start_server ./s 'reply:{"out":"error","result":{"code":-32001,"message":"ran"}}' \
    'reply:{"out":"echo","result":"twice"}'
  tool rpc-call --retry 5 ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: ran'
}

@test "--wait waits until the server is up" {
  start call rpc-call --wait ./w echo 1
  start_worker
  finish call
  expect 0 1 ''
}

@test "--wait ends with the timeout" {
  tool rpc-call --wait -t 200ms ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none within 200ms: No such file or directory'
}

@test "at the deadline the reason is why the last attempt failed, over TCP too" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 silent
  said server '^bound'
  local option
  for option in --wait --retry=1000; do
    tool rpc-call "$option" -t 200ms ":$(port_of server)" ping
    expect 3 '' \
      "rpc-call: cannot connect to 127.0.0.1:$(port_of server) within 200ms: Connection refused"
  done
}

@test "an attempt that the deadline cuts short does not hide why those before it failed" {
  start call rpc-call --wait -t 2s ./s ping
  start server python3 "$SUPPORT/scripted_server.py" ./s deaf
  finish call
  expect_match 3 '' \
    'rpc-call: cannot connect to \./s within 2s: (No such file or directory|Connection refused)'
}

@test "-v says what is waited for, each new reason once, and that there is a connection" {
  start call rpc-call -v --wait ./s echo
  said call '^rpc-call: cannot connect to \./s: No such file or directory \(waiting\)$'
  start server python3 "$SUPPORT/scripted_server.py" --late ./s 'reply:{"out":"echo","result":1}'
  said call '^rpc-call: cannot connect to \./s: Connection refused \(waiting\)$'
  kill -USR1 "${pid[server]}"
  finish call
  expect 0 1 'rpc-call: cannot connect to ./s: No such file or directory (waiting)
rpc-call: cannot connect to ./s: Connection refused (waiting)
rpc-call: connected to ./s'
}

@test "-v says that there is a connection, in line mode too" {
  start_worker
  tool rpc-call -v ./w echo 1
  expect 0 1 'rpc-call: connected to ./w'
  tool rpc-call -v ./w echo - <<<$'1\n2'
  expect 0 $'1\n2' 'rpc-call: connected to ./w'
}

# Servers that misbehave.

@test "a server that never answers is a timeout" {
  start_server 127.0.0.1:0 silent
  tool rpc-call -t 200ms ":$(port_of server)" echo
  expect 124 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): timed out after 200ms"
}

@test "a server that never accepts is a timeout of connecting" {
  start_server ./s deaf
  tool rpc-call --connect-timeout 200ms ./s echo
  expect 124 '' \
    "rpc-call: cannot connect to ./s within 200ms: the listener's backlog is full"
}

@test "half a reply is a timeout" {
  start_server ./s bytes:0a0000007b22
  tool rpc-call -t 200ms ./s echo
  expect 124 '' 'rpc-call: cannot call ./s: timed out after 200ms'
}

@test "a connection that is closed before the reply broke the protocol" {
  start_server 127.0.0.1:0 close
  tool rpc-call ":$(port_of server)" echo
  expect 4 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): the server closed the connection before it replied"
}

@test "a connection that is reset before the reply broke the protocol" {
  start_server 127.0.0.1:0 reset
  tool rpc-call ":$(port_of server)" echo
  expect 4 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): Connection reset by peer"
}

@test "a reply that is no JSON broke the protocol" {
  start_server ./s 'reply:nonsense' 'reply:' $'reply:{"out":"echo","result":"\x01"}'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: unknown word at column 1'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: empty'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: a control character in a string at column 25'
}

@test "JSON that is no reply broke the protocol" {
  local bodies=('[1]' '5' '{}' '{"out":"echo"}' '{"result":1}' '{"out":1,"result":1}' \
    '{"out":"echo","out":"echo","result":1}')
  start_server ./s "${bodies[@]/#/reply:}"
  for _ in "${bodies[@]}"; do
    tool rpc-call ./s echo
    expect 4 '' "rpc-call: cannot call ./s: the reply is not an object with one 'out' and one 'result'"
  done
}

@test "a reply over the limit broke the protocol" {
  start_server ./s bytes:ffffffff 'reply:{"out":"echo","result":"four and more bytes"}'
  tool rpc-call ./s echo
  expect_match 4 '' 'rpc-call: cannot call \./s: a reply of 4294967295 bytes exceeds the limit of 1048576'
  tool rpc-call --max-frame 20 ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: a reply of 45 bytes exceeds the limit of 20'
  tool rpc-call --max-frame 1kb ./s echo
  expect 0 '"four and more bytes"' ''
}

# The end.

@test "TERM ends a call that waits, as it ends any other program" {
  start_server ./s silent
  start call rpc-call --wait ./s echo
  # Until it is executed, the signal goes to a shell of the test.
  eventually grep -qx rpc-call "/proc/${pid[call]}/comm"
  stop call
  expect 143 '' ''
}
