#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# Calls that are lines of stdin, and calls of JSON-RPC.

load common

NEITHER="neither JSON nor KEY=TEXT nor KEY:=JSON (a string is written '\"text\"')"

# Lines.

@test "with - each line of stdin is a call, and the results come in order" {
  start_worker
  seq 1000 >numbers
  tool rpc-call ./w echo - <numbers
  expect 0 "$(<numbers)" ''
}

@test "the order stays when later calls are faster" {
  mkfifo third
  start_worker -m 'late=read n; [ $n != 1 ] || cat third; [ $n != 3 ] || : >third; echo $n'
  tool rpc-call ./w late - <<<$'1\n2\n3'
  expect 0 $'1\n2\n3' ''
}

@test "lines are sent no further ahead than --pipeline" {
  start_worker
  seq 1000 >numbers
  tool rpc-call --pipeline 1 ./w echo - <numbers
  expect 0 "$(<numbers)" ''
  tool rpc-call --pipeline 1000000 ./w echo - <numbers
  expect 0 "$(<numbers)" ''
}

@test "long lines are calls too" {
  start_worker
  printf '"%0300000d"\n' 1 2 3 >lines
  tool bash -c 'rpc-call ./w echo - <lines | cmp - lines'
  expect 0 '' ''
}

@test "the last line needs no newline" {
  start_worker
  tool rpc-call ./w echo - < <(printf '1\n2')
  expect 0 $'1\n2' ''
}

@test "no input is no call" {
  start_worker
  tool rpc-call ./w echo - </dev/null
  expect 0 '' ''
}

@test "behind -- a dash still stands for the lines of stdin" {
  start_worker
  tool rpc-call -- ./w echo - <<<$'1\n2'
  expect 0 $'1\n2' ''
}

@test "a result is printed as soon as it is there" {
  start_worker
  start_lines ./w
  line 1
  eventually lines_match lines.out '^1$' 1
  line 2
  eventually lines_match lines.out '^2$' 1
  end_lines
  finish lines
  expect 0 $'1\n2' ''
}

@test "a line that is no JSON is null on stdout and a message with its number" {
  start_worker
  tool rpc-call ./w echo - <<<$'1\nx\n\n4'
  expect 1 $'1\nnull\nnull\n4' \
    'rpc-call: line 2 of stdin: not JSON: unknown word at column 1
rpc-call: line 3 of stdin: not JSON: empty'
}

@test "an error reply in the middle is null on stdout and a message with its number" {
  start_worker -m 'odd=read n; test $n != 2 || { echo two is bad >&2; exit 7; }; echo $n'
  tool rpc-call ./w odd - <<<$'1\n2\n3'
  expect 1 $'1\nnull\n3' 'rpc-call: odd on ./w failed for line 2: exit status 7: two is bad'
  tool rpc-call ./w odd - --ok -32001 <<<$'1\n2\n3'
  expect 0 $'1\nnull\n3' ''
  tool rpc-call --full ./w odd - <<<$'1\n2\n3'
  expect 1 '{"out":"odd","result":1}
{"out":"error","result":{"code":-32001,"message":"exit status 7","data":{"status":7,"stderr":"two is bad"}}}
{"out":"odd","result":3}' 'rpc-call: odd on ./w failed for line 2: exit status 7: two is bad'
}

@test "lines keep to --raw and --pretty" {
  start_worker
  tool rpc-call -r ./w echo - <<<$'"a"\n{"b":[1]}'
  expect 0 $'a\n{"b":[1]}' ''
  tool rpc-call --pretty ./w echo - <<<'{"b":[1]}'
  expect 0 $'{\n  "b": [\n    1\n  ]\n}' ''
}

@test "on a terminal the results of lines are one line each" {
  command -v script >/dev/null || skip 'there is no script(1)'
  start_worker
  echo '[1]' >input
  tool script -qec 'rpc-call ./w echo - <input' /dev/null
  expect 0 $'[1]\r' ''
}

@test "what was answered before the connection was lost is printed" {
  start_server ./s 'reply:{"out":"echo","result":1}' 'reply:{"out":"echo","result":2}' close
  tool rpc-call ./s echo - <<<$'1\n2\n3\n4'
  expect_match 4 $'1\n2' 'rpc-call: cannot call \./s: (the server closed the connection before it replied|Connection reset by peer|Broken pipe)'
}

@test "each line has the whole timeout" {
  start_server ./s 'reply:{"out":"echo","result":1}' silent
  tool rpc-call -t 300ms ./s echo - <<<$'1\n2'
  expect 124 1 'rpc-call: cannot call ./s: timed out after 300ms'
}

@test "a reader that leaves ends the tool as it ends any other" {
  start_worker
  seq 100000 >numbers
  tool bash -c 'rpc-call ./w echo - <numbers | head -n 1; echo "${PIPESTATUS[0]}"'
  expect 0 $'1\n141' ''
}

@test "a stdin that can't be read is a failure of the tool" {
  start_worker
  tool rpc-call ./w echo - <.
  expect 125 '' 'rpc-call: cannot read stdin: Is a directory'
  tool bash -c 'rpc-call ./w echo - <&-'
  expect 125 '' 'rpc-call: cannot read stdin: Bad file descriptor (it is closed)'
}

# JSON-RPC.

@test "--jsonrpc calls with a request of JSON-RPC" {
  tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo '[1, "two"]'
  expect 0 '[1,"two"]' ''
  cmp request <(frame '{"jsonrpc":"2.0","method":"echo","params":[1, "two"],"id":1}')
  tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo name=Ada born:=1815
  expect 0 '{"name":"Ada","born":1815}' ''
  cmp request <(frame '{"jsonrpc":"2.0","method":"echo","params":{"name":"Ada","born":1815},"id":1}')
}

@test "--jsonrpc without params, or with null, sends none" {
  local params
  for params in '' null; do
    # shellcheck disable=SC2086 # a word or none
    tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo $params
    expect 0 null ''
    cmp request <(frame '{"jsonrpc":"2.0","method":"echo","id":1}')
  done
}

@test "--jsonrpc refuses params that are scalars" {
  local json
  for json in 5 -0.5 true false '""' '"[]"' '"null"'; do
    refuses "params $json: JSON-RPC has only objects and arrays for params" \
      rpc-call --jsonrpc :1 echo "$json"
  done
  refuses "params foo: $NEITHER" rpc-call --jsonrpc :1 echo foo
}

@test "--jsonrpc takes white space around params" {
  start_worker
  local space
  for space in ' ' $'\t' $'\n' $'\r\n'; do
    tool rpc-call --jsonrpc ./w echo "${space}[1]$space"
    expect 0 '[1]' ''
    tool rpc-call --jsonrpc ./w echo "${space}null$space"
    expect 0 null ''
  done
}

@test "--jsonrpc keeps to --raw and --pretty" {
  start_worker --text -m 'text=echo hello'
  tool rpc-call --jsonrpc ./w text
  expect 0 '"hello"' ''
  tool rpc-call --jsonrpc --raw ./w text
  expect 0 hello ''
  tool rpc-call --jsonrpc --pretty ./w echo '[1]'
  expect 0 $'[\n  1\n]' ''
}

@test "with --jsonrpc an error is a message on stderr and status 1" {
  start_worker -m 'fail=echo first >&2; echo second >&2; exit 3'
  tool rpc-call --jsonrpc ./w nosuch
  expect 1 '' 'rpc-call: nosuch on ./w failed: no such method: nosuch'
  tool rpc-call --jsonrpc ./w fail
  expect 1 '' 'rpc-call: fail on ./w failed: exit status 3: second'
  tool rpc-call --jsonrpc ./w nosuch --ok -32601
  expect 0 '' ''
}

@test "--jsonrpc --full prints the whole reply" {
  start_worker
  tool rpc-call --jsonrpc --full ./w ping '[1]'
  expect 0 '{"jsonrpc":"2.0","result":[1],"id":1}' ''
  tool rpc-call --jsonrpc --full ./w nosuch
  expect 1 '{"jsonrpc":"2.0","error":{"code":-32601,"message":"no such method: nosuch"},"id":1}' \
    'rpc-call: nosuch on ./w failed: no such method: nosuch'
}

@test "--list --jsonrpc prints the methods, one a line" {
  start_worker -m zebra=cat
  tool rpc-call --list --jsonrpc ./w
  expect 0 $'echo\ninfo\nmethods\nping\nzebra' ''
  start_server ./s 'reply:{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":1}'
  tool rpc-call --jsonrpc --list ./s
  expect 1 '' 'rpc-call: methods on ./s failed: no'
}

@test "an error of JSON-RPC that names no call is the answer to the next" {
  local error='{"jsonrpc":"2.0","error":{"code":-32600,"message":"what?"},"id":null}'
  start_server ./s "reply:$error" "reply:$error" 'reply:{"jsonrpc":"2.0","result":2,"id":2}'
  tool rpc-call --jsonrpc --full ./s echo
  expect 1 "$error" 'rpc-call: echo on ./s failed: what?'
  tool rpc-call --jsonrpc ./s echo - <<<$'[1]\n[2]'
  expect 1 $'null\n2' 'rpc-call: echo on ./s failed for line 1: what?'
}

@test "--jsonrpc --retry calls again when the server was busy" {
  start_server ./s 'reply:{"jsonrpc":"2.0","error":{"code":-32003,"message":"busy"},"id":1}' \
    'reply:{"jsonrpc":"2.0","result":"served","id":1}'
  tool rpc-call --jsonrpc --retry 1 ./s echo
  expect 0 '"served"' ''
}

@test "JSON that is no reply of JSON-RPC broke the protocol" {
  local bodies=('{"jsonrpc":"2.0","id":1}' '{"jsonrpc":"2.0","result":1,"error":{},"id":1}' \
    '{"jsonrpc":"2.0","result":1,"result":1,"id":1}' '{"jsonrpc":"2.0","method":"echo","id":1}')
  start_server ./s "${bodies[@]/#/reply:}" 'reply:[{"jsonrpc":"2.0","result":1,"id":1}]'
  for _ in "${bodies[@]}"; do
    tool rpc-call --jsonrpc ./s echo
    expect 4 '' "rpc-call: cannot call ./s: the reply does not have one of 'result' and 'error'"
  done
  tool rpc-call --jsonrpc ./s echo
  expect 4 '' "rpc-call: cannot call ./s: the reply is not an object with one 'out' and one 'result'"
}

@test "--jsonrpc with - calls with each line, and the results come in their order" {
  start_worker
  seq 1000 | sed 's/.*/[&]/' >lines
  tool rpc-call --jsonrpc ./w echo - <lines
  expect 0 "$(<lines)" ''
  tool rpc-call --jsonrpc --pipeline 1 ./w echo - <lines
  expect 0 "$(<lines)" ''
}

@test "--jsonrpc with - keeps replies that come too early" {
  mkfifo third
  start_worker -m 'late=read n; [ $n != "[1]" ] || cat third; [ $n != "[3]" ] || : >third; echo $n'
  tool rpc-call --jsonrpc ./w late - <<<$'[1]\n[2]\n[3]'
  expect 0 $'[1]\n[2]\n[3]' ''
}

@test "--jsonrpc with - also keeps errors that come too early, and whole replies" {
  local third='{"jsonrpc":"2.0","result":"c","id":3}' first='{"jsonrpc":"2.0","result":"a","id":1}'
  local second='{"jsonrpc":"2.0","error":{"code":-1,"message":"b"},"id":2}'
  local together
  together=bytes:$(for reply in "$third" "$second" "$first"; do frame "$reply"; done |
    od -An -v -tx1 | tr -d ' \n')
  start_server ./s silent silent "$together" silent silent "$together"
  tool rpc-call --jsonrpc ./s echo - <<<$'[1]\n[2]\n[3]'
  expect 1 $'"a"\nnull\n"c"' 'rpc-call: echo on ./s failed for line 2: b'
  tool rpc-call --jsonrpc --full ./s echo - --ok -1 <<<$'[1]\n[2]\n[3]'
  expect 0 "$first"$'\n'"$second"$'\n'"$third" ''
}

@test "--jsonrpc with - tells which lines are no params, and which got an error" {
  start_worker -m 'odd=read n; test "$n" != "[4]" || exit 7; echo "$n"'
  tool rpc-call --jsonrpc ./w odd - <<<$'[1]\n2\nx\n[4]\n{"a":5}\nnull\n"s"\n [8]'
  expect 1 $'[1]\nnull\nnull\nnull\n{"a":5}\nnull\nnull\n[8]' \
    'rpc-call: line 2 of stdin: JSON-RPC has only objects and arrays for params
rpc-call: line 3 of stdin: not JSON: unknown word at column 1
rpc-call: odd on ./w failed for line 4: exit status 7
rpc-call: line 7 of stdin: JSON-RPC has only objects and arrays for params'
  tool rpc-call --jsonrpc --full ./w odd - <<<$'[1]\n2\n[4]'
  expect 1 '{"jsonrpc":"2.0","result":[1],"id":1}
null
{"jsonrpc":"2.0","error":{"code":-32001,"message":"exit status 7","data":{"status":7,"stderr":""}},"id":3}' \
    'rpc-call: line 2 of stdin: JSON-RPC has only objects and arrays for params
rpc-call: odd on ./w failed for line 3: exit status 7'
}
