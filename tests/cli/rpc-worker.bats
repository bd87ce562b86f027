#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

NOTHING='nothing to serve: give -l ADDR, -j PATH or --stdio, or start it with `rpc-master -- rpc-worker`'
IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# The command line.

@test "--help describes the tool on stdout" {
  tool rpc-worker --help
  expect_match 0 'Answer calls: .*
Usage: rpc-worker \[-j PATH \| -l ADDR.*--method NAME=CMD .*--drain-timeout T .*' ''
}

@test "every option of the documentation is in --help" {
  tool rpc-worker --help
  local option
  for option in '-l, --listen' --stdio '-m, --method' '-C, --concurrency' --timeout \
    --idle-timeout --max-frame --max-memory --framing --credits --env --text --public --lame-duck \
    --allow-uid '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
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

@test "an --allow-uid that is no user is a usage error" {
  refuses '--allow-uid no-such: no user has that name or number' rpc-worker -l :0 --allow-uid no-such
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
  refuses '--lame-duck needs --listen: a master tells its workers (rpc-master --lame-duck)' \
    rpc-worker --stdio --lame-duck 1s
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
