#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# What becomes of the workers of rpc-master.

load common

# Workers.

@test "a worker gets its channel at descriptor 3, and nothing else" {
  exec 9<>/dev/null
  start_master -n 1 -- sh -c 'ls /proc/self/fd >seen # which opens the folder
    echo $HANDOFF_CHANNEL_FD $HANDOFF_WORKER >>seen
    readlink /proc/self/fd/0 >>seen
    exec rpc-worker'
  [[ $(tr '\n' ' ' <seen) == '0 1 2 3 4 3 1 /dev/null ' ]]
  stop master
  expect_match 0 '' 'rpc-master: ready, 1 worker, on \./m'
}

@test "a worker is not told of the service manager" {
  start master env NOTIFY_SOCKET=/none WATCHDOG_USEC=1 LISTEN_FDNAMES=x KEPT=1 \
    rpc-master -l ./m -n 1 -- sh -c 'env >seen; exec rpc-worker'
  said master ready
  run --separate-stderr grep -E '^(NOTIFY|WATCHDOG|LISTEN|KEPT)' seen
  expect 0 KEPT=1 ''
}

@test "what a worker writes to stdout and stderr is the master's" {
  start_master -n 1 -- sh -c 'echo to stdout; echo to stderr >&2; exec rpc-worker'
  stop master
  expect_match 0 'to stdout' 'to stderr
rpc-master: ready, 1 worker, on \./m'
}

@test "a worker that dies is replaced" {
  start_master -n 1 -- rpc-worker
  local first
  first=$(rpc-call ./m info | jq .pid)
  kill -KILL "$first"
  said master "^rpc-master: worker 1, pid $first: signal 9 \(Killed\)$"
  tool rpc-call ./m info
  expect_match 0 '\{"pid":[0-9]+,"worker":1,"version":"0\.1\.0"\}' ''
  [[ $output != *"\"pid\":$first,"* ]]
  stop master
  expect_match 0 '' "rpc-master: ready, 1 worker, on \./m
rpc-master: worker 1, pid $first: signal 9 \(Killed\)"
}

@test "a worker that dies at start is started again, later each time, and is never ready" {
  # Another status each time: there is hope.
  start master rpc-master -l ./m -n 1 --backoff 20ms:50ms -- \
    sh -c 'echo last words >&2; echo >>count; exit $((2 + $(wc -l <count)))'
  said master 'started again in 50ms' 2
  tool rpc-call -t 100ms ./m ping
  expect 124 '' 'rpc-call: cannot call ./m: timed out after 100ms'
  stop master
  [[ $status == 0 && -z $output ]] || differs 0 '' '...'
  local died='rpc-master: worker 1, pid [0-9]+: exit status [3-6], before it was ready'
  keep_stderr 12
  expect_match 0 '' "last words
$died
rpc-master: worker 1: started again in 20ms
last words
$died
rpc-master: worker 1: started again in 40ms
last words
$died
rpc-master: worker 1: started again in 50ms
last words
$died
rpc-master: worker 1: started again in 50ms"
  [[ $(<master.err) != *': ready'* && ! -e m ]]
}

@test "a master whose worker pauses can be stopped at once" {
  start master rpc-master -l ./m -n 1 --backoff 1h:1h -- false
  said master 'started again in '
  stop master
  expect_match 0 '' 'rpc-master: worker 1, pid [0-9]+: exit status 1, before it was ready
rpc-master: worker 1: started again in .*'
}

@test "a worker that is not ready within --ready-timeout is killed and started again" {
  start master rpc-master -l ./m -n 1 --ready-timeout 100ms --backoff 10ms:10ms -- \
    sh -c 'echo $$ >>pids; exec sleep 100'
  said master 'started again' 2
  stop master
  [[ $status == 0 && -z $output ]] || differs 0 '' '...'
  local n
  n=$(head -n 1 pids)
  keep_stderr 3
  expect 0 '' "rpc-master: worker 1, pid $n: not ready within 100ms, killed
rpc-master: worker 1, pid $n: signal 9 (Killed), before it was ready
rpc-master: worker 1: started again in 10ms"
  for n in $(<pids); do
    eventually is_gone "$n"
  done
}

@test "a worker that breaks the channel's protocol is killed" {
  start master rpc-master -l ./m -n 1 --backoff 1h:1h -- sh -c 'echo nonsense >&3; exec sleep 100'
  said master 'started again'
  stop master
  expect_match 0 '' 'rpc-master: worker 1, pid [0-9]+: it sent no valid message; killed
rpc-master: worker 1, pid [0-9]+: signal 9 \(Killed\), before it was ready
rpc-master: worker 1: started again in .*'
}

@test "when the master is killed its workers leave" {
  start_master -n 2 -- rpc-worker
  local workers n
  workers=$(pgrep -P "${pid[master]}")
  [[ $(wc -w <<<"$workers") == 2 ]]
  stop master KILL
  expect 137 '' 'rpc-master: ready, 2 workers, on ./m'
  for n in $workers; do
    eventually is_gone "$n"
  done
}

# Limits.

@test "above --max-connections the next connection waits for another to end" {
  start_master -n 2 --max-connections 1 -- rpc-worker
  start_lines ./m
  line 1
  eventually lines_match lines.out '^1$' 1
  tool rpc-call -t 200ms ./m echo 2
  expect 124 '' 'rpc-call: cannot call ./m: timed out after 200ms'
  end_lines
  finish lines
  expect 0 1 ''
  tool rpc-call ./m echo 3
  expect 0 3 ''
  stop master
  expect 0 '' 'rpc-master: ready, 2 workers, on ./m'
}

@test "without --max-connections there is no such limit" {
  start_master -n 1 -- rpc-worker
  start_lines ./m
  line 1
  eventually lines_match lines.out '^1$' 1
  tool rpc-call ./m echo 2
  expect 0 2 ''
}

# The plain channel.

@test "--handshake none serves with rpc-worker, and drains" {
  start_master -n 2 --handshake none -- rpc-worker -m "gated=$GATED"
  workers_seen 4 | sort >seen
  [[ $(<seen) == $'1\n1\n2\n2' ]]
  start_gated_call ./m
  kill -TERM "${pid[master]}"
  eventually test ! -e m
  open_gate
  finish call
  expect 0 true ''
  finish master
  expect 0 '' 'rpc-master: ready, 2 workers, on ./m'
}

@test "with --handshake none a worker is ready once it runs" {
  start_master -v -n 1 --handshake none -- sh -c 'exec cat <&3' # until its channel ends
  stop master
  expect_match 0 '' 'rpc-master: worker 1, pid [0-9]+: started
rpc-master: worker 1, pid [0-9]+: ready
rpc-master: ready, 1 worker, on \./m
rpc-master: stopping
rpc-master: worker 1, pid [0-9]+: left, exit status 0'
}
