#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# What signals do to rpc-master.

load common

# serving_alone: worker 2 drains.
serving_alone() {
  kill -USR1 "${pid[master]}"
  lines_match master.err '^rpc-master: worker 2, pid [0-9]+: draining, 1 connection, ' 1
}

# Signals.

@test "TERM, INT and QUIT end a master and its workers" {
  local signal n workers
  for signal in TERM INT QUIT; do
    start_master -n 2 -- rpc-worker
    workers=$(pgrep -P "${pid[master]}")
    stop master "$signal"
    expect 0 '' 'rpc-master: ready, 2 workers, on ./m'
    [[ ! -e m ]]
    for n in $workers; do
      is_gone "$n"
    done
  done
}

@test "TERM ends a master before its workers are ready" {
  start master rpc-master -l ./m -n 1 -- sh -c ': >started; exec sleep 100'
  eventually test -e started
  stop master
  expect 0 '' ''
}

@test "TERM lets a call that runs finish" {
  start_master -n 1 -- rpc-worker -m "gated=$GATED"
  start_gated_call ./m
  kill -TERM "${pid[master]}"
  eventually test ! -e m
  tool rpc-call ./m ping
  expect 3 '' 'rpc-call: cannot connect to ./m: No such file or directory'
  open_gate
  finish call
  expect 0 true ''
  finish master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
}

@test "TERM ends a connection that is idle" {
  start_master -n 1 -- rpc-worker
  start_lines ./m
  line 1
  eventually lines_match lines.out '^1$' 1
  stop master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
}

@test "a call that runs past --drain-timeout is cut off, and counted" {
  start_master -n 1 --drain-timeout 200ms -- rpc-worker -m "gated=$GATED"
  start_gated_call ./m
  stop master
  expect_match 124 '' 'rpc-master: ready, 1 worker, on \./m
rpc-master: worker 1, pid [0-9]+: still there after 200ms, killed with 1 connection
rpc-master: worker 1, pid [0-9]+: 0 connections moved, 0 answered with an error, 1 closed
rpc-master: ended with 1 connection cut off and 1 worker killed'
  finish call
  expect 4 '' 'rpc-call: cannot call ./m: the server closed the connection before it replied'
}

@test "a second signal cuts off at once, and counts" {
  start_master -n 1 -- rpc-worker -m "gated=$GATED"
  start_gated_call ./m
  kill -TERM "${pid[master]}"
  eventually test ! -e m
  stop master INT
  expect_match 124 '' 'rpc-master: ready, 1 worker, on \./m
rpc-master: worker 1, pid [0-9]+: 0 connections moved, 0 answered with an error, 1 closed
rpc-master: ended with 1 connection cut off and 1 worker killed'
  finish call
  expect 4 '' 'rpc-call: cannot call ./m: the server closed the connection before it replied'
}

@test "a master that has cut off a command leaves nothing of it" {
  start_master -n 1 --drain-timeout 200ms -- \
    rpc-worker -m 'hang=sleep 100 & echo $! $$ >pids; wait'
  start call rpc-call ./m hang
  eventually grep -qs ' ' pids
  stop master
  expect_match 124 '' '.*: ended with 1 connection cut off and 1 worker killed'
  local child shell
  read -r child shell <pids
  eventually is_gone "$shell"
  PATIENCE=2 eventually is_gone "$child"
}

@test "TTIN is one worker more, TTOU one fewer, and the last one stays" {
  start_master -v -n 1 -- rpc-worker
  kill -TTIN "${pid[master]}"
  said master '^rpc-master: worker 2, pid [0-9]+: ready$'
  workers_seen 4 | sort >seen
  [[ $(<seen) == $'1\n1\n2\n2' ]]
  kill -TTOU "${pid[master]}"
  said master '^rpc-master: worker 2, pid [0-9]+: left, exit status 0$'
  workers_seen 2 >seen
  [[ $(<seen) == $'1\n1' ]]
  kill -TTOU "${pid[master]}"
  said master '^rpc-master: cannot remove a worker: the last one stays$'
  tool rpc-call ./m echo 1
  expect 0 1 ''
  stop master
  expect_match 0 '' '.*'
}

@test "TTOU lets the calls of the worker that leaves finish" {
  start_master -v -n 2 -- rpc-worker -m "gated=$GATED"
  # The worker that was added last is the one that leaves: give both a call.
  start_gated_call ./m
  start other rpc-call ./m gated
  eventually lines_match entered '^' 2
  kill -TTOU "${pid[master]}"
  eventually serving_alone
  open_gate
  open_gate
  finish other
  expect 0 true ''
  finish call
  expect 0 true ''
  said master 'worker 2, pid [0-9]+: left, exit status 0'
  stop master
  expect_match 0 '' '.*'
}

@test "USR1 is a line for each worker" {
  start_master -n 2 -- rpc-worker
  start_lines ./m
  line 1
  eventually lines_match lines.out '^1$' 1
  kill -USR1 "${pid[master]}"
  said master '^rpc-master: worker 2, .* connections?, '
  stop master
  expect_match 0 '' 'rpc-master: ready, 2 workers, on \./m
rpc-master: worker 1, pid [0-9]+: ready, (0 connections|1 connection), 0 restarts
rpc-master: worker 2, pid [0-9]+: ready, (0 connections|1 connection), 0 restarts'
  [[ $(grep -cE ' 1 connection, 0 restarts' <<<"$stderr") == 1 ]]
}

@test "signals before the workers are ready do no harm" {
  mkfifo gate
  exec 9<>gate
  start master rpc-master -l ./m -n 1 -- sh -c ': >started; read line <gate; exec rpc-worker'
  eventually test -e started
  kill -USR1 "${pid[master]}"
  said master '^rpc-master: worker 1, pid [0-9]+: starting, 0 connections, 0 restarts$'
  kill -TTOU "${pid[master]}"
  said master '^rpc-master: cannot remove a worker: the last one stays$'
  echo >&9
  said master '^rpc-master: ready, '
  tool rpc-call ./m echo 1
  expect 0 1 ''
}

@test "signals that a shell has made it ignore still end a master" {
  start master bash -c 'trap "" TERM INT QUIT; exec rpc-master -l ./m -n 1 -- rpc-worker'
  said master ready
  stop master QUIT
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
}

@test "closed standard streams do no harm" {
  start master bash -c 'exec rpc-master -l ./m -n 1 -- rpc-worker -m "cat=cat" <&- >&- 2>&-'
  tool rpc-call --wait ./m cat '[1]'
  expect 0 '[1]' ''
  stop master
  expect 0 '' ''
}
