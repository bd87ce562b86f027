#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# What rpc-worker and rpc-master write to standard error: what methods have written to theirs, calls,
# times, and priorities for the journal.

load common

READY='rpc-worker: ready, on \./w'
MS='[0-9]+\.[0-9]{3} ms'
TIME='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[+-][0-9]{4}'

# start_with_journal NAME WORDS...: its stderr is a file that JOURNAL_STREAM names, as the journal's is.
start_with_journal() {
  : >"$1.err"
  JOURNAL_STREAM=$(stat -c %d:%i "$1.err") start "$@"
}

# The stderr of methods.

@test "what a command that succeeds writes to its stderr is in the log with its method" {
  start_worker -m 'sum=echo 3 numbers >&2; echo done >&2; jq add'
  tool rpc-call ./w sum '[1, 2, 4]'
  expect 0 7 ''
  said worker 'method sum: done'
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w
rpc-worker: method sum: 3 numbers
rpc-worker: method sum: done'
}

@test "what a command that fails writes to its stderr is in its error reply alone" {
  start_worker -m 'fail=echo no >&2; exit 1'
  tool rpc-call ./w fail
  expect 1 '' 'rpc-call: fail on ./w failed: exit status 1: no'
  stop_worker
}

@test "each line that a coprocess writes to its stderr is in the log while the coprocess runs" {
  start_worker -k 'co=while read -r line; do echo "asked $line" >&2; echo 1; done'
  tool rpc-call ./w co 5
  expect 0 1 ''
  said worker '^rpc-worker: method co: asked 5$'
  tool rpc-call ./w co 6
  expect 0 1 ''
  said worker '^rpc-worker: method co: asked 6$'
  stop worker
}

@test "each line that a service writes to its stderr is in the log with the name of -K" {
  start_worker -K 'se.*=while read -r line; do echo working >&2; echo "$line" | jq -c "{out: .in, result: 1, id}"; done'
  tool rpc-call ./w se.rvice
  [ "$status" = 0 ]
  said worker '^rpc-worker: method se\.\*: working$'
}

@test "a method can write no line of its own to the log, and command no terminal" {
  start_worker -m 'evil=printf "one\rrpc-worker: two\033[2J\n\302\233\n" >&2; echo 1'
  tool rpc-call ./w evil
  expect 0 1 ''
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w
rpc-worker: method evil: one\rrpc-worker: two\x1b[2J
rpc-worker: method evil: \u009b'
}

@test "with -q nothing that a method writes to its stderr is in the log" {
  start worker rpc-worker -q -l ./w -m 'loud=echo text >&2; echo 1'
  tool rpc-call --wait ./w loud
  expect 0 1 ''
  stop worker
  expect 0 '' ''
}

@test "a method that writes without end makes few lines, and the worker answers meanwhile" {
  start_worker --timeout 1s -k 'loud=yes >&2' -m 'loud2=yes >&2'
  start one rpc-call ./w loud
  start two rpc-call ./w loud2
  said worker '^rpc-worker: method loud: y$'
  tool rpc-call ./w ping 1
  expect 0 1 ''
  finish one
  finish two
  stop worker
  (($(wc -l <worker.err) < 250))
  said worker '^rpc-worker: method loud: y \(and [0-9]+ more like it\)$'
}

# Calls.

@test "with --log-calls each call has a line with the method, the client, how it ended, and its time" {
  start_worker --log-calls -m 'one=echo 1' -m 'fail=exit 3'
  rpc-call ./w one
  rpc-call ./w ping
  tool rpc-call ./w fail
  [ "$status" = 1 ]
  tool rpc-call ./w no.such
  [ "$status" = 1 ]
  stop worker
  expect_match 0 '' "$READY
rpc-worker: call one from unix: ok, $MS
rpc-worker: call ping from unix: ok, $MS
rpc-worker: call fail from unix: error -32001, $MS
rpc-worker: call no\.such from unix: error -32601, $MS
rpc-worker: call methods from unix: ok, $MS" # for its "did you mean"
}

@test "--log-calls names a client by its address" {
  start worker rpc-worker -l 127.0.0.1:0 --log-calls
  said worker '^rpc-worker: ready, on 127'
  rpc-call "127.0.0.1:$(port_of worker)" ping
  said worker "^rpc-worker: call ping from 127\.0\.0\.1:[0-9]+: ok, $MS\$"
}

@test "with --log-calls what is no request has a line, each call of a batch, and a notification" {
  start_worker --log-calls
  {
    frame '{"in":'
    frame '[{"jsonrpc":"2.0","method":"ping","id":1},{"jsonrpc":"2.0","method":"no","id":2},7]'
    frame '{"jsonrpc":"2.0","method":"echo"}'
  } | timeout "$PATIENCE" nc -NU ./w >replies
  stop worker
  expect_match 0 '' "$READY
rpc-worker: bad request from unix: error -32700
rpc-worker: call ping from unix: ok, $MS
rpc-worker: call no from unix: error -32601, $MS
rpc-worker: bad request from unix: error -32600
rpc-worker: call echo from unix: ok, $MS"
}

@test "a client can put no line of its own into the log of calls" {
  start_worker --log-calls
  tool rpc-call ./w $'x from 1.2.3.4:5: ok, 1 ms\nrpc-worker: call y'
  [ "$status" = 1 ]
  stop worker
  expect_match 0 '' "$READY
rpc-worker: call \"x from 1\.2\.3\.4:5: ok, 1 ms\\\\nrpc-worker: call y\" from unix: error -32601, $MS
rpc-worker: call methods from unix: ok, $MS"
}

@test "with -v only the calls that fail have lines" {
  start_worker -v -m 'one=echo 1' -m 'fail=exit 3'
  rpc-call ./w one
  rpc-call ./w ping
  tool rpc-call ./w fail
  [ "$status" = 1 ]
  stop worker
  expect_match 0 '' "$READY
rpc-worker: call fail from unix: error -32001, $MS"
}

@test "with -q and --log-calls the calls have lines, and nothing else that is no error" {
  start worker rpc-worker -q -l ./w --log-calls
  rpc-call --wait ./w ping
  stop worker
  expect_match 0 '' "rpc-worker: call ping from unix: ok, $MS"
}

@test "a call that is cut off at the end of the worker is in the log" {
  start_worker --log-calls --drain-timeout 10ms -m "gated=$GATED"
  start_gated_call ./w
  stop worker
  expect_match 124 '' "$READY
rpc-worker: call gated from unix: cut off, $MS
rpc-worker: ended with 1 connection cut off"
}

@test "a master with a queue logs calls, with -v those that fail" {
  start_master -p queue --log-calls -n 1 -- rpc-worker
  rpc-call ./m ping
  said master "^rpc-master: call ping from unix: ok, $MS\$"
  stop master
  start_master -p queue -v -n 1 -- rpc-worker
  rpc-call ./m ping
  tool rpc-call ./m no.such
  [ "$status" = 1 ]
  said master "^rpc-master: call no\.such from unix: error -32601, $MS\$"
  stop master
  run ! grep 'call ping' master.err
}

@test "a master without a queue refuses --log-calls" {
  for model in connection listener; do
    refuses '--log-calls is for --pass queue; otherwise workers serve the clients: give it to rpc-worker' \
      rpc-master -p "$model" --log-calls -l ./m -- rpc-worker
  done
}

# Times, and whose line it is.

@test "with --log-time each line begins with the local time" {
  TZ=UTC0 start worker rpc-worker -l ./w --log-time --log-calls
  said worker 'ready, on'
  rpc-call ./w ping
  stop worker
  expect_match 0 '' "$TIME $READY
$TIME rpc-worker: call ping from unix: ok, $MS"
  grep -q '+0000 rpc-worker: ready' worker.err
}

@test "an error at the end has its time too" {
  tool rpc-worker -l ./none/w --log-time
  expect_match 125 '' "$TIME rpc-worker: cannot .*: No such file or directory"
}

@test "a master does not pass --log-time on to its workers" {
  start master rpc-master -l ./m -n 1 --log-time -- rpc-worker -m 'loud=echo text >&2; echo 1'
  said master "^$TIME rpc-master: ready, 1 worker, on \./m\$"
  rpc-call ./m loud
  said master '^rpc-worker\[1\]: method loud: text$'
}

@test "the lines of a master's workers have their numbers" {
  start_master -n 2 -- rpc-worker -m 'loud=echo text >&2; echo 1'
  rpc-call ./m loud
  rpc-call ./m loud
  said master '^rpc-worker\[1\]: method loud: text$'
  said master '^rpc-worker\[2\]: method loud: text$'
}

@test "what a worker said before it died is before the line that says so" {
  start_master -n 1 -- sh -c 'echo last words >&2; exec rpc-worker -m "die=kill \$PPID; echo 1"'
  stop master
  expect_match 0 '' 'last words
rpc-master: ready, 1 worker, on \./m'
  tool rpc-master -l ./m -n 1 -- rpc-worker --ready none
  [ "$status" = 125 ]
  [[ $stderr == "rpc-worker[1]: not ready: none failed: no such method: none
rpc-master: worker 1, pid "*": exit status 1, before it was ready"* ]] || differs 125 '' ''
}

# The journal.

@test "a line for the journal begins with its priority" {
  start_with_journal worker rpc-worker -l ./w -v --log-calls -m 'fail=exit 1'
  said worker '^<6>rpc-worker: ready, on \./w$'
  tool rpc-call ./w fail
  said worker "^<6>rpc-worker: call fail from unix: error -32001, $MS\$"
  stop worker
  start_with_journal worker rpc-worker -l ./w -v
  said worker ready
  tool rpc-call ./w no.such
  said worker "^<7>rpc-worker: call no\.such from unix: error -32601, $MS\$"
  start_with_journal again rpc-worker -l ./w --log-time
  finish again
  [ "$status" = 125 ]
  lines_match again.err "^<3>$TIME rpc-worker: cannot listen on \./w: " 1
}

@test "a line that goes elsewhere than to the journal has no priority" {
  JOURNAL_STREAM=$(stat -c %d:%i .) start_worker
  stop_worker
  JOURNAL_STREAM=1:2:3 start_worker
  stop_worker
}

@test "the workers of a master whose log is the journal's say their priorities too" {
  start_with_journal master rpc-master -l ./m -n 1 -- rpc-worker -m 'loud=echo text >&2; echo 1'
  said master '^<6>rpc-master: ready, '
  rpc-call ./m loud
  said master '^<6>rpc-worker\[1\]: method loud: text$'
}

@test "a method's process is not told of the journal" {
  start_with_journal worker rpc-worker -l ./w --text -m 'stream=echo "${JOURNAL_STREAM-none}"'
  tool rpc-call --wait ./w stream
  expect 0 '"none"' ''
}

@test "the other programs that run long have priorities for the journal" {
  start_with_journal fdrecv fdrecv -v --keep ./f -- true
  said fdrecv '^<[67]>fdrecv: '
  start_with_journal ping rpc-ping -c 1 ./none
  finish ping
  lines_match ping.err '^<3>rpc-ping: cannot connect to ' 1
}
