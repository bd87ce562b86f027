#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

NOTHING='nothing to serve: give -l ADDR, -j PATH or --stdio, or start it with `rpc-master -- rpc-worker`'
IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# stop_worker: its whole stderr was the one line that it was ready.
stop_worker() {
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w'
}

# The command line.

@test "--help describes the tool on stdout" {
  tool rpc-worker --help
  expect_match 0 'Answer calls: .*
Usage: rpc-worker \[-j PATH \| -l ADDR.*--method NAME=CMD .*--drain-timeout T .*' ''
}

@test "every option of the documentation is in --help" {
  tool rpc-worker --help
  local option
  for option in '-l, --listen' --stdio '-m, --method' '-C, --concurrency' --timeout --idle-timeout \
    --max-frame --max-memory --framing --credits --env --text --public --allow-uid '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 '.*' ''
}

@test "--version is one exact line" {
  tool rpc-worker --version
  expect 0 'rpc-worker (handoff) 0.1.0' ''
  tool rpc-worker -V
  expect 0 'rpc-worker (handoff) 0.1.0' ''
}

@test "an unknown option or a word too many is a usage error" {
  refuses 'unknown option --nope (see rpc-worker --help)' rpc-worker --nope
  refuses 'unexpected word word (see rpc-worker --help)' \
    rpc-worker --stdio word
  refuses 'unexpected word cat after --: this tool runs no command' rpc-worker -l :0 -- cat
}

@test "an option without its value is a usage error" {
  refuses '--listen needs a value (see rpc-worker --help)' rpc-worker -l
  refuses '--method needs a value (see rpc-worker --help)' rpc-worker -l :0 -m
  refuses '--timeout needs a value (see rpc-worker --help)' rpc-worker -l :0 --timeout
}

@test "without anything to serve it says what there could be" {
  refuses "$NOTHING" rpc-worker
  refuses "$NOTHING" rpc-worker --
  refuses "$NOTHING" rpc-worker -m a=cat
}

@test "an --allow-uid that is no number is a usage error" {
  refuses '--allow-uid root: write a number from 0 to 4294967295' rpc-worker -l :0 --allow-uid root
}

@test "a duration that is none is a usage error" {
  local option
  for option in --timeout --idle-timeout --frame-timeout --write-timeout --drain-timeout; do
    refuses "$option 5x: write a duration such as 250ms, 2s, 1m or 1h" rpc-worker -l :0 "$option" 5x
  done
}

@test "a number out of range is a usage error that names the range" {
  refuses '--concurrency 0: write a number from 1 to 1000000' \
    rpc-worker -l :0 -C 0
  refuses '--concurrency many: write a number from 1 to 1000000' \
    rpc-worker -l :0 -C many
  refuses '--credits 0: write a number from 1 to 10000000' \
    rpc-worker -l :0 --credits 0
}

@test "a size that is none is a usage error" {
  refuses '--max-frame big: write a size such as 64KiB or 16MiB, at most 128MiB' \
    rpc-worker -l :0 --max-frame big
  refuses '--max-memory big: write a size such as 64MiB or 2GiB, at least 64KiB' \
    rpc-worker -l :0 --max-memory big
  refuses '--max-memory 1000: write a size such as 64MiB or 2GiB, at least 64KiB' \
    rpc-worker -l :0 --max-memory 1000
}

@test "a method is written NAME=CMD" {
  refuses '--method x: write NAME=CMD' rpc-worker -l :0 -m x
  refuses '--method =cat: write NAME=CMD' rpc-worker -l :0 -m =cat
}

@test "a method's name is given once" {
  refuses 'cannot add the method a: there is one of this name already' rpc-worker -l :0 -m a=cat -m a=true
  refuses 'cannot add the method ping: there is one of this name already' rpc-worker -l :0 -m ping=cat -k ping=cat
}

@test "a framing that is none is a usage error that names those that there are" {
  refuses '--framing x: write auto, length or lines' rpc-worker -l :0 --framing x
  refuses '--framing needs a value (see rpc-worker --help)' rpc-worker -l :0 --framing
}

@test "options that can mean nothing are usage errors" {
  refuses '--method a=: write a command after the =' rpc-worker -l :0 -m a=
  refuses "--env A=B: write the name of a variable alone" rpc-worker -l :0 --env A=B
  refuses '--args needs --method or --methods' rpc-worker -l :0 --args -k a=cat
  refuses '--ready =1: write METHOD or METHOD=JSON' rpc-worker -l :0 --ready =1
  refuses '--pool needs --coprocess or --service' rpc-worker -l :0 --pool 2
  refuses '--threads 4 needs --concurrency 4 or more: each thread runs a call' \
    rpc-worker -l :0 --threads 4 -C 1
  refuses '--timeout 0.0000001ms: shorter than a nanosecond' \
    rpc-worker -l :0 --timeout 0.0000001ms
  HANDOFF_CHANNEL_FD=x refuses 'HANDOFF_CHANNEL_FD x: not the number of a descriptor' rpc-worker
}

@test "-l, -m and --env take one value, and leave what follows alone" {
  refuses 'unexpected word ./v (see rpc-worker --help)' \
    rpc-worker --stdio -l ./w ./v </dev/null
  refuses 'unexpected word b=cat (see rpc-worker --help)' \
    rpc-worker --stdio -m a=cat b=cat </dev/null
  refuses 'unexpected word B (see rpc-worker --help)' \
    rpc-worker --stdio --env A B </dev/null
}

# Listeners.

@test "the readiness line names each address, with the port of :0" {
  start worker rpc-worker -l 127.0.0.1:0 -l ./w -l :0
  said worker '^rpc-worker: ready, on '
  local port second
  port=$(port_of worker)
  second=$(sed -E 's/.*:([0-9]+)$/\1/' worker.err)
  tool rpc-call ":$port" echo 1
  expect 0 1 ''
  tool rpc-call ":$second" echo 2
  expect 0 2 ''
  tool rpc-call ./w echo 3
  expect 0 3 ''
  stop worker
  expect 0 '' "rpc-worker: ready, on 127.0.0.1:$port ./w 127.0.0.1:$second"
  ((port != second && port > 0))
}

@test "an option's error names its long form" {
  refuses '--max-requests x: write N or N,JITTER' rpc-worker -l :0 --max-requests x
  refuses '--max-requests 0: write 1 or more' rpc-worker -l :0 --max-requests 0
  refuses '--wake x: write one or all' rpc-worker -l :0 --wake x
  refuses "--forward 80: write :80 for the port, or ./80 for a socket's file" \
    rpc-worker -l :0 -f x=80
  refuses '--forward x: write NAME=ADDR' rpc-worker -l :0 -f x
  refuses '--coprocess x: write NAME=CMD' rpc-worker -l :0 -k x
  refuses '--join :90: write the path of a socket, such as ./name.sock, or @name' rpc-worker -j :90
}

@test "an address that is none is a usage error" {
  refuses '--listen :x: the port is a number from 0 to 65535' rpc-worker -l :x
  refuses "cannot listen on exec:cat: a command can't be listened on" rpc-worker -l exec:cat
}

@test "an address that other hosts can reach needs --public, and the error says so" {
  local remedy='other hosts could connect (--public allows it)'
  refuses "cannot listen on 0.0.0.0:0: $remedy" rpc-worker -l 0.0.0.0:0
  refuses "cannot listen on 192.0.2.1:0: $remedy" rpc-worker -l 192.0.2.1:0
  ! has_ipv6 || refuses "cannot listen on [::]:0: $remedy" rpc-worker -l '[::]:0'
}

@test "with --public an address that other hosts can reach is listened on" {
  start worker rpc-worker --public -l 0.0.0.0:0
  said worker '^rpc-worker: ready, on 0\.0\.0\.0:[0-9]+$'
  tool rpc-call ":$(port_of worker)" echo 1
  expect 0 1 ''
}

@test "an address that this host does not have is a failure" {
  tool rpc-worker --public -l 192.0.2.1:0
  expect 125 '' 'rpc-worker: cannot listen on 192.0.2.1:0: Cannot assign requested address (no interface of this host has that address)'
}

@test "a port in use is a failure" {
  start worker rpc-worker -l :0
  said worker ready
  tool rpc-worker -l ":$(port_of worker)"
  expect 125 '' "rpc-worker: cannot listen on 127.0.0.1:$(port_of worker): $IN_USE"
}

@test "a named socket has mode 0600 under any umask, and is removed in the end" {
  local mask
  for mask in 000 022 777; do
    start worker bash -c "umask $mask; exec rpc-worker -l ./w"
    said worker '^rpc-worker: ready, on \./w'
    [[ $(stat -c %a w) == 600 ]]
    stop_worker
    [[ $(echo w*) == 'worker.err worker.out' ]]
  done
}

@test "a named socket in use is left to its owner" {
  start_worker
  tool rpc-worker -l ./w
  expect 125 '' "rpc-worker: cannot listen on ./w: $IN_USE"
  tool rpc-call ./w echo 1
  expect 0 1 ''
}

@test "a named socket that nobody serves any more is replaced" {
  start_worker
  stop worker KILL
  [[ -S w ]]
  start_worker
  tool rpc-call ./w echo 1
  expect 0 1 ''
  stop_worker
  [[ ! -e w ]]
}

@test "a file that is in the way of a named socket is left alone" {
  echo text >w
  tool rpc-worker -l ./w
  expect 125 '' 'rpc-worker: cannot listen on ./w: File exists (the file is no socket, and is left alone)'
  [[ $(<w) == text ]]
}

@test "a symlink that is in the way of a named socket is not followed" {
  ln -s elsewhere w
  tool rpc-worker -l ./w
  expect 125 '' 'rpc-worker: cannot listen on ./w: Too many levels of symbolic links (a symlink is not followed; name the socket itself)'
  [[ -L w && ! -e elsewhere ]]
}

@test "a named socket that could not be made leaves nothing behind" {
  echo text >w
  tool rpc-worker -l ./w
  expect_match 125 '' 'rpc-worker: cannot listen on \./w: File exists .*'
  [[ $(echo w*) == w ]] || differs 125 "$(echo w*)" ''
}

@test "a folder that is not there is a failure" {
  tool rpc-worker -l ./none/w
  expect_match 125 '' 'rpc-worker: cannot [a-z ]+ \./none/w.*: No such file or directory'
}

@test "listeners of a service manager are served" {
  start worker python3 "$SUPPORT/socket_activate.py" ./a ./b -- rpc-worker
  said worker '^rpc-worker: ready, on \./a \./b$'
  tool rpc-call ./a echo 1
  expect 0 1 ''
  tool rpc-call ./b echo 2
  expect 0 2 ''
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./a ./b'
}

@test "listeners of a service manager are served beside those of -l" {
  start worker python3 "$SUPPORT/socket_activate.py" ./a -- rpc-worker -l ./w
  said worker '^rpc-worker: ready, on '
  tool rpc-call ./a echo 1
  expect 0 1 ''
  tool rpc-call ./w echo 2
  expect 0 2 ''
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w ./a'
}

@test "systemd-socket-activate starts it with the first connection" {
  command -v systemd-socket-activate >/dev/null || skip 'there is no systemd-socket-activate'
  start worker systemd-socket-activate -l "$PWD/w" rpc-worker
  said worker 'Listening on '
  tool rpc-call ./w echo 1
  expect 0 1 ''
  said worker '^rpc-worker: ready, on /.*/w$'
  stop worker
  expect_match 0 '' '.*rpc-worker: ready, on /.*/w'
}

@test "listeners that were meant for another process are not taken" {
  tool env LISTEN_PID=1 LISTEN_FDS=1 rpc-worker
  expect 2 '' "rpc-worker: $NOTHING"
}

@test "a descriptor that is no listener is not listened on" {
  tool bash -c 'rpc-worker -l fd:7 7>&-'
  expect 125 '' 'rpc-worker: cannot listen on fd:7: Bad file descriptor'
  tool bash -c 'rpc-worker -l fd:7 7</dev/null'
  expect 125 '' 'rpc-worker: cannot listen on fd:7: Socket operation on non-socket'
  start_worker
  start tcp rpc-worker -l :0
  said tcp ready
  tool bash -c "rpc-worker -l fd:7 7<>/dev/tcp/127.0.0.1/$(port_of tcp)"
  expect 2 '' 'rpc-worker: cannot listen on fd:7: the descriptor is not a listening socket'
}

@test "a channel that is none is refused" {
  tool bash -c 'HANDOFF_CHANNEL_FD=7 rpc-worker 7</dev/null'
  expect 2 '' 'rpc-worker: cannot read the channel: the descriptor is not a socket'
}

# Standard input and output.

@test "--stdio serves one connection over pipes" {
  { frame '{"in":"ping"}' && frame '{"in":"echo","params":[1],"id":7}'; } >requests
  { frame '{"out":"pong","result":null}' && frame '{"out":"echo","result":[1],"id":7}'; } >replies
  tool bash -c 'cat requests | rpc-worker --stdio | cmp - replies'
  expect 0 '' ''
}

@test "--stdio serves one connection over files" {
  { frame '{"in":"ping"}' && frame '{"in":"echo","params":[1],"id":7}'; } >requests
  { frame '{"out":"pong","result":null}' && frame '{"out":"echo","result":[1],"id":7}'; } >replies
  tool bash -c 'rpc-worker --stdio <requests >got; echo $?; cmp got replies'
  expect 0 0 ''
}

@test "--stdio serves one connection over a socket" {
  seq 1000 >numbers
  tool rpc-call 'exec:rpc-worker --stdio; echo "status $?" >ended' echo - <numbers
  expect 0 "$(<numbers)" ''
  eventually grep -q . ended
  [[ $(<ended) == 'status 0' ]]
}

@test "--stdio finishes the calls that run when its input ends" {
  frame '{"in":"slow"}' >requests
  frame '{"out":"slow","result":"done"}' >replies
  mkfifo gate
  tool bash -c $'rpc-worker --stdio -m "slow=cat gate" <requests >got & echo \'"done"\' >gate; wait $!; echo $?; cmp got replies'
  expect 0 0 ''
}

@test "--stdio without a client ends at once" {
  tool rpc-worker --stdio </dev/null
  expect 0 '' ''
}

@test "TERM ends --stdio" {
  mkfifo input
  exec 9<>input
  start worker rpc-worker --stdio <input
  frame '{"in":"ping"}' >&9
  eventually grep -q pong worker.out
  stop worker
  expect_match 0 '.*' ''
}

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
  expect_match 4 1 'rpc-call: cannot call \./w: (the server closed the connection before it replied|Broken pipe|Connection reset by peer)'
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
