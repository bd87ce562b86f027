#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# The methods of rpc-worker: those that are built in, and commands.

load common

# Methods.

@test "the built-in methods answer" {
  start_worker
  tool rpc-call --list ./w
  expect 0 $'echo\ninfo\nmethods\nping' ''
  tool rpc-call --full ./w ping '{"a":1}'
  expect 0 '{"out":"pong","result":{"a":1}}' ''
  tool rpc-call ./w methods
  expect 0 '["echo","info","methods","ping"]' ''
  tool rpc-call ./w info
  expect 0 "{\"pid\":${pid[worker]},\"worker\":0,\"version\":\"0.1.0\"}" ''
  stop_worker
}

@test "a command's stdout is the result" {
  start_worker -m 'a=echo 5' -m 'eq=echo "\"x=y\""' -m 'many=printf "[1,\n 2]\n\n"'
  tool rpc-call ./w a
  expect 0 5 ''
  tool rpc-call ./w eq
  expect 0 '"x=y"' ''
  tool rpc-call ./w many
  expect 0 '[1,2]' ''
  stop_worker
}

@test "params are a command's stdin" {
  start_worker -m cat=cat -m 'size=wc -c' -m 'ignore=exec <&-; echo 1'
  tool rpc-call ./w cat '{"a": [1, "x"]}'
  expect 0 '{"a":[1,"x"]}' ''
  tool rpc-call ./w cat
  expect 0 null ''
  tool rpc-call ./w ignore '[1]'
  expect 0 1 ''
  printf '"%0500000d"\n' 1 >big
  tool rpc-call ./w size - <big
  expect 0 500002 ''
  stop_worker
}

@test "a status is an error with the end of what the command wrote to stderr" {
  start_worker -m 'fail=echo 1; echo first >&2; echo second >&2; exit 3'
  tool rpc-call ./w fail
  expect 1 '' 'rpc-call: fail on ./w failed: exit status 3: second'
  tool rpc-call --full ./w fail
  expect 1 '{"out":"error","result":{"code":-32001,"message":"exit status 3","data":{"status":3,"stderr":"first\nsecond"}}}' \
    'rpc-call: fail on ./w failed: exit status 3: second'
  stop_worker
}

@test "of much that a command wrote to stderr the end is kept" {
  start_worker -m 'fail=head -c 100000 /dev/zero | tr "\0" x >&2; echo >&2; echo end >&2; exit 1'
  tool bash -c 'rpc-call --full ./w fail 2>/dev/null | jq -r .result.data.stderr | tail -n 1'
  expect 0 end ''
  tool bash -c 'rpc-call --full ./w fail 2>/dev/null | jq ".result.data.stderr | length"'
  expect 0 2047 ''
  stop_worker
}

@test "bytes on stderr that are no UTF-8 make a valid reply" {
  start_worker -m 'fail=printf "\377x" >&2; exit 1'
  tool rpc-call --full ./w fail
  expect 1 '{"out":"error","result":{"code":-32001,"message":"exit status 1","data":{"status":1,"stderr":"�x"}}}' \
    'rpc-call: fail on ./w failed: exit status 1: �x'
  stop_worker
}

@test "a command that a signal ends is an error that names it" {
  start_worker -m 'die=kill -KILL $$'
  tool rpc-call --full ./w die
  expect 1 '{"out":"error","result":{"code":-32001,"message":"signal 9 (Killed)","data":{"signal":9,"stderr":""}}}' \
    'rpc-call: die on ./w failed: signal 9 (Killed)'
  stop_worker
}

@test "a command that is not there is an error of the call" {
  start_worker -m none=no-such-command
  tool rpc-call ./w none
  expect_match 1 '' 'rpc-call: none on \./w failed: exit status 127: .*no-such-command.*not found'
  stop_worker
}

@test "output that is no JSON is an error" {
  start_worker -m 'garbage=echo hello' -m 'two=echo []; echo []' -m 'bytes=printf "\"\377\""'
  local why="the command's output is not JSON:"
  local remedy='(rpc-worker --text takes it as a string)'
  tool rpc-call ./w garbage
  expect 1 '' "rpc-call: garbage on ./w failed: $why unknown word at column 1 $remedy"
  tool rpc-call ./w two
  expect 1 '' "rpc-call: two on ./w failed: $why something follows the value at line 2, column 1 $remedy"
  tool rpc-call --full ./w bytes
  expect 1 "{\"out\":\"error\",\"result\":{\"code\":-32001,\"message\":\"$why invalid UTF-8 at column 2 $remedy\"}}" \
    "rpc-call: bytes on ./w failed: $why invalid UTF-8 at column 2 $remedy"
  stop_worker
}

@test "with --text output that is no JSON is a string" {
  start_worker --text -m 'text=printf "hello\nworld\n\n"' -m 'json=echo [1]' -m none=true
  tool rpc-call ./w text
  expect 0 '"hello\nworld"' ''
  tool rpc-call ./w json
  expect 0 '[1]' ''
  tool rpc-call ./w none
  expect 0 '""' ''
  stop_worker
}

@test "no output is null" {
  start_worker -m none=true -m blank=echo
  tool rpc-call ./w none
  expect 0 null ''
  tool rpc-call ./w blank
  expect 0 null ''
  stop_worker
}

@test "output over the limit is an error, and the command is ended" {
  start_worker -m 'endless=echo $$ >pid; exec tr "\0" x </dev/zero'
  tool rpc-call ./w endless
  expect 1 '' "rpc-call: endless on ./w failed: the command's output exceeds the limit of 1048576 bytes"
  eventually is_gone "$(<pid)"
  tool rpc-call ./w echo 1
  expect 0 1 ''
  stop_worker
}

@test "--timeout ends a command with all that it has started" {
  start_worker --timeout 1s -m 'hang=sleep 100 & echo $! $$ >pids; wait'
  tool rpc-call --full ./w hang
  expect 1 '{"out":"error","result":{"code":-32002,"message":"the command did not end in time"}}' \
    'rpc-call: hang on ./w failed: the command did not end in time'
  local child shell
  read -r child shell <pids
  eventually is_gone "$child"
  eventually is_gone "$shell"
  tool rpc-call ./w echo 1
  expect 0 1 ''
  stop_worker
}

@test "a command that ignores TERM is ended by --timeout too" {
  start_worker --timeout 200ms -m 'hang=trap "" TERM; while :; do sleep 100; done'
  tool rpc-call ./w hang
  expect 1 '' 'rpc-call: hang on ./w failed: the command did not end in time'
  stop_worker
}

@test "a process that a command leaves behind neither holds up the call nor stays" {
  start_worker -m 'leave=sleep 100 & echo $! >pid; echo 1'
  tool rpc-call ./w leave
  expect 0 1 ''
  eventually is_gone "$(<pid)"
  stop_worker
}

@test "a process that has left its command's group neither holds up the call nor stays" {
  start_worker -m 'leave=setsid sh -c "echo \$\$ >pid; exec sleep 100" & until test -s pid; do :; done; echo 1'
  tool rpc-call ./w leave
  expect 0 1 ''
  eventually is_gone "$(<pid)"
  stop_worker
}

@test "a command sees the usual variables, those of the call, and no other" {
  local name
  for name in HOME USER LOGNAME SHELL LANG TZ TMPDIR LC_ALL; do
    local -x "$name=C"
  done
  start worker env SECRET=1 LISTEN_FDS=0 rpc-worker -l ./w --text \
    -m 'env=tr "\0" "\n" </proc/$$/environ | sed "s/^RPC_MARK=.*/RPC_MARK=a mark/" | sort'
  said worker ready
  tool rpc-call -r ./w env
  expect 0 "HOME=C
LANG=C
LC_ALL=C
LOGNAME=C
PATH=$PATH
RPC_ID=
RPC_MARK=a mark
RPC_METHOD=env
RPC_PEER=unix
SHELL=C
TMPDIR=C
TZ=C
USER=C" ''
}

@test "--env hands on more variables, if they are set" {
  start worker env ONE=1 TWO=2 THREE=3 rpc-worker -l ./w --env ONE --env TWO --env NONE \
    -m 'env=echo "\"$ONE $TWO ${THREE-unset} ${NONE-unset}\""'
  said worker ready
  tool rpc-call ./w env
  expect 0 '"1 2 unset unset"' ''
  stop_worker
}

@test "RPC_METHOD and RPC_PEER tell a command of the call" {
  start worker rpc-worker -l 127.0.0.1:0 --text -m 'a.b=echo "$RPC_METHOD for $RPC_PEER"'
  said worker ready
  tool rpc-call ":$(port_of worker)" a.b
  expect_match 0 '"a\.b for 127\.0\.0\.1:[0-9]+"' ''
}

@test "RPC_ID is the call's id as JSON" {
  { frame '{"in":"id","id":7}' && frame '{"in":"id","id":"x y"}'; } >requests
  tool bash -c $'rpc-worker -C 1 --stdio -m \'id=printf %s "$RPC_ID"\' <requests | tr -d "\\000-\\037"'
  expect_match 0 '(.*\{"out":"id","result":7,"id":7\}.*|.*\{"out":"id","result":"x y","id":"x y"\}.*){2}' ''
}

@test "with --args the params of a call are arguments, and no text for a shell" {
  mkdir methods
  printf '#!/bin/sh\nprintf "%%s|" $# "$@" "$RPC_ARG_x"\n' >methods/show
  chmod +x methods/show
  start_worker --text --args -d methods -m 'args=printf "%s|" "$0" "$@" "$RPC_ARG_x"; cat'
  tool rpc-call -r ./w args '["$(date)", "`date`; date", 1.0, null, {"a": [true]}]'
  expect 0 'args|$(date)|`date`; date|1.0|null|{"a":[true]}||' ''
  tool rpc-call -r ./w args x='$y "'
  expect 0 'args|$y "|' ''
  tool rpc-call -r ./w args
  expect 0 'args||' ''
  tool rpc-call -r ./w show '["-n", ""]'
  expect 0 '2|-n|||' ''
  tool rpc-call ./w show a-b=1
  expect 1 '' "rpc-call: show on ./w failed: the name 'a-b' can't be that of a variable: write letters, digits and _, not a digit first"
  tool rpc-call --full ./w show '"x"'
  expect_match 1 '.*"code":-32602,.*' '.*'
  stop_worker
}

@test "a command has the descriptors 0 to 2, and no other" {
  start_worker --text -m 'fds=exec ls /proc/self/fd' # ls opens the folder
  exec 9<>/dev/null
  tool rpc-call -r ./w fds
  expect 0 $'0\n1\n2\n3' ''
  stop_worker
}

@test "a command has a process group of its own and can't gain privileges" {
  start_worker -m 'group=ps -o pgid= -p $$ | tr -d " "' -m 'pid=echo $$' \
    -m 'privileges=grep NoNewPrivs /proc/$$/status | cut -f 2'
  tool rpc-call ./w privileges
  expect 0 1 ''
  start_lines ./w # so that there are two connections
  tool bash -c 'rpc-call ./w group | grep -qx "$(ps -o pgid= -p '"${pid[worker]}"' | tr -d " ")"'
  expect 1 '' ''
  end_lines
}

@test "with -C 1 one call runs at a time" {
  start_worker -C 1 -m "gated=$GATED"
  start_gated_call ./w
  tool rpc-call -t 200ms ./w echo 1
  expect 124 '' 'rpc-call: cannot call ./w: timed out after 200ms'
  open_gate
  finish call
  expect 0 true ''
  tool rpc-call ./w echo 1
  expect 0 1 ''
}

@test "with -C 2 another call is answered while one runs" {
  start_worker -C 2 -m "gated=$GATED"
  start_gated_call ./w
  tool rpc-call ./w echo 1
  expect 0 1 ''
  open_gate
  finish call
  expect 0 true ''
}

@test "a method whose name looks like a path or a command is no method" {
  start_worker
  local name
  for name in ../../bin/sh 'a;b' '$(true)' /bin/true .; do
    tool rpc-call ./w "$name"
    expect 1 '' "rpc-call: $name on ./w failed: no such method: $name"
  done
  tool rpc-call ./w ''
  expect 1 '' "rpc-call: '' on ./w failed: no such method:"
  stop_worker
}

@test "a method is forwarded to any of several servers that can be reached" {
  start_worker -f '*=./nobody,./other'
  start other rpc-worker -q -l ./other -m where='echo \"other\"'
  tool rpc-call --wait ./other ping
  expect 0 null ''
  tool rpc-call ./w where
  expect 0 '"other"' ''
  stop_worker
}
