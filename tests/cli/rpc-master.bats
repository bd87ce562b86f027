#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

NO_COMMAND='no command for the workers; write it after --, as in `rpc-master -- rpc-worker`, or let them join by --join PATH'
IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# The command line.

@test "--help describes the tool on stdout" {
  tool rpc-master --help
  expect_match 0 'Accept connections and .*
Usage: rpc-master \[-l ADDR\].* -- COMMAND \[ARG\.\.\.\].*--pidfile PATH .*' ''
}

@test "every option of the documentation is in --help" {
  tool rpc-master --help
  local option
  for option in '-l, --listen' '-n, --workers' --handshake --max-connections --ready-timeout \
    --drain-timeout --hang-timeout --allow-uid --public --pidfile --dry-run \
    '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 '.*' ''
}

@test "--help says that --backoff takes MIN:MAX" {
  tool rpc-master --help
  expect_match 0 '.*--backoff MIN:MAX .*' ''
}

@test "--version is one exact line" {
  tool rpc-master --version
  expect 0 'rpc-master (handoff) 0.1.0' ''
  tool rpc-master -V
  expect 0 'rpc-master (handoff) 0.1.0' ''
}

@test "without a command for the workers it says where that is written" {
  refuses "$NO_COMMAND" rpc-master
  refuses "$NO_COMMAND" rpc-master -l :0 -n 2 --
}

@test "an unknown option or a word too many is a usage error" {
  refuses 'unknown option --nope (see rpc-master --help)' rpc-master --nope -- rpc-worker
  local remedy="the workers' command goes after --"
  refuses "unexpected word rpc-worker: $remedy (see rpc-master --help)" rpc-master rpc-worker
  refuses "unexpected word rpc-worker: $remedy (see rpc-master --help)" \
    rpc-master -n 2 rpc-worker --text
}

@test "an option's error names its long form" {
  refuses '--pass foo: write connection, listener or queue' rpc-master -p foo -- rpc-worker
  refuses '--balance foo: write round-robin, least or hash' rpc-master -b foo -- rpc-worker
  refuses "--listen 80: write :80 for the port, or ./80 for a socket's file" \
    rpc-master -l 80 -- rpc-worker
}

@test "a word that is no socket's name is a usage error that says what to write" {
  local option
  for option in --join --control; do
    refuses "$option :90: write the path of a socket, such as ./name.sock, or @name" \
      rpc-master "$option" :90 -- rpc-worker
    refuses "$option sock: write the path of a socket, such as ./sock, or @name" \
      rpc-master "$option" sock -- rpc-worker
    refuses "$option 90: write the path of a socket, such as ./90, or @name" \
      rpc-master "$option" 90 -- rpc-worker
  done
}

@test "one place to listen on is not named twice" {
  refuses '127.0.0.1:18500 is named twice: an address can have only one listener' \
    rpc-master -l :18500 -l 127.0.0.1:18500 -- rpc-worker
  refuses './s is named twice: an address can have only one listener' rpc-master -l :0 -l :0 -j ./s -c ./s -- rpc-worker
}

@test "a pidfile that another master has written is left alone" {
  start master rpc-master -l :0 -n 1 --pidfile ./pid -- rpc-worker
  said master ': ready, '
  echo $$ >pid
  stop master TERM
  [ "$(cat pid)" = $$ ]
}

@test "-n may be 0 with -j, and no command" {
  start master rpc-master -l :0 -n 0 -j ./j
  said master ': ready, 0 workers, '
  stop master TERM
}

@test "an option without its value does not take it from behind --" {
  refuses '--listen needs a value (see rpc-master --help)' rpc-master -l -- rpc-worker
  refuses '--pidfile needs a value (see rpc-master --help)' \
    rpc-master --pidfile -- rpc-worker
  refuses '--backoff needs a value (see rpc-master --help)' \
    rpc-master --backoff -- rpc-worker
}

@test "options behind -- are the command's" {
  start_master -n 1 -- rpc-worker --text -m 'text=echo hello'
  tool rpc-call ./m text
  expect 0 '"hello"' ''
}

@test "a number out of range is a usage error that names the range" {
  local value
  for value in -1 4097 many; do
    refuses "--workers $value: write a number from 0 to 4096" \
      rpc-master -n "$value" -- rpc-worker
  done
  refuses '--workers 0 needs --join PATH' rpc-master -n 0 -- rpc-worker
  refuses '--workers needs a command after --' rpc-master -j ./j -n 2
}

@test "a --max-connections that is no number of connections is a usage error that a person can read" {
  local value
  for value in 0 -1 many; do
    refuses "--max-connections $value: write a number from 1 to 100000000" \
      rpc-master --max-connections "$value" -- rpc-worker
  done
}

@test "a duration that is none is a usage error" {
  refuses '--ready-timeout x: write a duration such as 250ms, 2s, 1m or 1h' rpc-master --ready-timeout x -- rpc-worker
  refuses '--drain-timeout x: write a duration such as 250ms, 2s, 1m or 1h' rpc-master --drain-timeout x -- rpc-worker
}

@test "a --backoff that is no range is a usage error" {
  refuses '--backoff 1s: write MIN:MAX, as in 100ms:10s' rpc-master --backoff 1s -- rpc-worker
  refuses '--backoff 2s:1s: the first exceeds the second' rpc-master --backoff 2s:1s -- rpc-worker
  refuses '--backoff x: write a duration such as 250ms, 2s, 1m or 1h' rpc-master --backoff x:1s -- rpc-worker
  refuses "--backoff '': write a duration such as 250ms, 2s, 1m or 1h" rpc-master --backoff 1s: -- rpc-worker
}

@test "a --handshake that is none is a usage error" {
  tool rpc-master --handshake half -- rpc-worker
  expect 2 '' 'rpc-master: --handshake half: write full or none'
}

@test "--max-connections needs the full handshake, and the error says why" {
  refuses '--max-connections needs the full handshake: without it workers do not report the end of a connection' \
    rpc-master --max-connections 1 --handshake none -- rpc-worker
}

@test "an --allow-uid that is no user is a usage error" {
  refuses '--allow-uid no-such: no user has that name or number' \
    rpc-master --allow-uid no-such -- rpc-worker
}

@test "an address that other hosts can reach needs --public, and the error says so" {
  refuses 'cannot listen on 0.0.0.0:0: other hosts could connect (--public allows it)' \
    rpc-master -l 0.0.0.0:0 -- rpc-worker
}

@test "with --public an address that other hosts can reach is listened on" {
  start master rpc-master --public -n 1 -l 0.0.0.0:0 -- rpc-worker
  said master '^rpc-master: ready, 1 worker, on 0\.0\.0\.0:[0-9]+$'
  tool rpc-call ":$(port_of master)" echo 1
  expect 0 1 ''
}

# The command.

@test "a command that is not there is status 127" {
  run -127 --separate-stderr rpc-master -l :0 -- no-such-command
  expect 127 '' 'rpc-master: cannot run no-such-command: No such file or directory'
  run -127 --separate-stderr rpc-master -l :0 -n 3 -- ./no-such-file
  expect 127 '' 'rpc-master: cannot run ./no-such-file: No such file or directory'
}

@test "a command that can't be run is status 126" {
  echo true >plain
  tool rpc-master -l :0 -- ./plain
  expect 126 '' 'rpc-master: cannot run ./plain: Permission denied'
  tool rpc-master -l :0 -- .
  expect 126 '' 'rpc-master: cannot run .: Permission denied'
}

@test "a command that can't be run leaves no socket and no pidfile behind" {
  run -127 --separate-stderr rpc-master -l ./m --pidfile ./pid -- no-such-command
  expect 127 '' 'rpc-master: cannot run no-such-command: No such file or directory'
  [[ ! -e m && ! -e m.lock && ! -e pid ]]
}

# Readiness.

@test "the readiness line names each address, with the port of :0" {
  start master rpc-master -n 2 -l 127.0.0.1:0 -l ./m -l :0 -- rpc-worker
  said master ready
  local first second
  first=$(port_of master)
  second=$(sed -E 's/.*:([0-9]+)$/\1/' master.err)
  tool rpc-call ":$first" echo 1
  expect 0 1 ''
  tool rpc-call ./m echo 2
  expect 0 2 ''
  tool rpc-call ":$second" echo 3
  expect 0 3 ''
  stop master
  expect 0 '' "rpc-master: ready, 2 workers, on 127.0.0.1:$first ./m 127.0.0.1:$second"
}

@test "-n workers take turns" {
  start_master -n 3 -- rpc-worker
  local seen
  seen=$(workers_seen 6)
  [[ $(head -n 3 <<<"$seen" | sort) == $'1\n2\n3' ]]
  [[ $(head -n 3 <<<"$seen") == $(tail -n 3 <<<"$seen") ]]
  stop master
  expect 0 '' 'rpc-master: ready, 3 workers, on ./m'
}

@test "without -n there is a worker for each core" {
  start_master -- rpc-worker
  local cores
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
  stop master
  expect_match 0 '' "rpc-master: ready, $cores workers?, on \./m"
}

@test "an IPv6 address is written in brackets" {
  has_ipv6 || skip 'there is no IPv6'
  start master rpc-master -n 1 -l '[::1]:0' -- rpc-worker
  said master '^rpc-master: ready, 1 worker, on \[::1\]:[0-9]+$'
  tool rpc-call "[::1]:$(port_of master)" echo 1
  expect 0 1 ''
}

@test "an abstract socket is written with @" {
  local name="@handoff-test-$$-$RANDOM"
  start master rpc-master -n 1 -l "$name" -- rpc-worker
  said master "^rpc-master: ready, 1 worker, on $name$"
  tool rpc-call "$name" echo 1
  expect 0 1 ''
}

@test "a named socket has mode 0600 under any umask, and is removed in the end" {
  local mask
  for mask in 000 777; do
    start master bash -c "umask $mask; exec rpc-master -n 1 -l ./m -- rpc-worker"
    said master ready
    [[ $(stat -c %a m) == 600 ]]
    tool rpc-call ./m echo 1
    expect 0 1 ''
    stop master
    expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
    [[ ! -e m && ! -e m.lock ]]
  done
}

@test "an address in use is a failure, and stays with its owner" {
  start master rpc-master -n 1 -l :0 -l ./m -- rpc-worker
  said master ready
  tool rpc-master -l ./m -- rpc-worker
  expect 125 '' "rpc-master: cannot listen on ./m: $IN_USE"
  tool rpc-master -l ":$(port_of master)" -- rpc-worker
  expect 125 '' "rpc-master: cannot listen on 127.0.0.1:$(port_of master): $IN_USE"
  tool rpc-call ./m echo 1
  expect 0 1 ''
}

@test "listeners of a service manager are served" {
  start master python3 "$SUPPORT/socket_activate.py" ./a ./b -- rpc-master -n 1 -- rpc-worker
  said master '^rpc-master: ready, 1 worker, on \./a \./b$'
  tool rpc-call ./a echo 1
  expect 0 1 ''
  tool rpc-call ./b echo 2
  expect 0 2 ''
  stop master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./a \./b'
}

@test "before its workers are ready a master accepts nobody" {
  mkfifo gate
  exec 9<>gate
  start master rpc-master -l ./m -n 1 --pidfile pid -- sh -c 'read line <gate; exec rpc-worker'
  eventually test -e m
  tool rpc-call -t 200ms ./m echo 1
  expect 124 '' 'rpc-call: cannot call ./m: timed out after 200ms'
  [[ ! -s master.err && ! -e pid ]]
  start call rpc-call ./m echo 2
  echo >&9
  finish call
  expect 0 2 ''
  stop master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
}

@test "--pidfile has the master's number while it runs" {
  start_master -n 1 --pidfile ./pid -- rpc-worker
  [[ $(<pid) == "${pid[master]}" ]]
  stop master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
  [[ ! -e pid && ! -e pid.new ]]
}

@test "a pidfile that can't be written is a failure" {
  tool rpc-master -l ./m -n 1 --pidfile ./none/pid -- rpc-worker
  expect 125 '' 'rpc-master: cannot write the pidfile ./none/pid: No such file or directory'
}

@test "-q says nothing, and -v what happens to each worker" {
  start master rpc-master -q -l ./m -n 1 -- rpc-worker
  tool rpc-call --wait ./m echo 1
  expect 0 1 ''
  stop master
  expect 0 '' ''

  start_master -v -n 1 -- rpc-worker
  stop master
  expect_match 0 '' 'rpc-master: worker 1, pid [0-9]+: started
rpc-master: worker 1, pid [0-9]+: ready
rpc-master: ready, 1 worker, on \./m
rpc-master: stopping
rpc-master: worker 1, pid [0-9]+: left, exit status 0'
}
