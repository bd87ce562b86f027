#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# How fdrecv receives one message after another (--keep).

load common
load fdrecv

# Going on.

@test "--keep runs a command for each message" {
  receiver --keep --stdin ./s -- cat
  local word
  for word in one two three; do
    echo "$word" >"$word"
    send -o "$word"
    eventually grep -qx "$word" recv.out
  done
  stop recv
  expect 0 $'one\ntwo\nthree' ''
  [[ ! -e s && ! -e s.lock ]]
}

@test "--count ends it after so many" {
  echo text >file
  receiver --keep --count 2 --stdin ./s -- cat
  send -o file
  send -o file
  finish recv
  expect 0 $'text\ntext' ''
}

@test "--json with --keep prints what comes until --count" {
  receiver --json --keep --count 2 ./s
  send -n a 0 </dev/null
  send -n b 0 0 </dev/null
  finish recv
  expect_match 0 '\{"name":"a".*\}
\{"name":"b".*\}
\{"type".*\}' ''
}

@test "commands that fail are no end, and -v tells of them" {
  receiver --keep -v --count 3 ./s -- sh -c 'exit 3'
  send 0 </dev/null
  send 0 </dev/null
  send 0 </dev/null
  finish recv
  expect_match 0 '' '(fdrecv: sh, pid [0-9]+: exit status 3.?){3}'
}

@test "a message that is refused is told, and the next is served" {
  echo text >file
  receiver --keep --count 1 --stdin ./s -- cat
  tool fdsend ./s 0 0 </dev/null
  expect 0 '' ''
  said recv 2.descriptors
  send -o file
  finish recv
  expect 0 text 'fdrecv: cannot receive on ./s: 2 descriptors came where 1 was expected'
}

@test "commands run side by side, and at most --max-processes of them" {
  mkfifo gate
  exec 7<>gate
  receiver --keep --max-processes 2 --count 3 --stdin ./s -- sh -c 'echo in; read -r go; echo out'
  tool fdsend ./s 7
  expect 0 '' ''
  tool fdsend ./s 7
  expect 0 '' ''
  eventually lines_match recv.out '^in$' 2
  tool fdsend ./s 7
  expect 0 '' ''
  # The third is confirmed only once it runs.
  [[ $(children_of recv) == 2 ]]
  echo >&7
  eventually lines_match recv.out '^in$' 3
  [[ $(head -n 3 recv.out) == $'in\nin\nout' ]]
  printf '\n\n' >&7
  finish recv
  expect 0 $'in\nin\nout\nin\nout\nout' ''
  exec 7>&-
}

children_of() {
  wc -w <"/proc/${pid[$1]}/task/${pid[$1]}/children"
}

no_children() {
  (($(children_of "$1") == 0))
}

@test "commands that have ended are reaped" {
  receiver --keep ./s -- true
  send 0 </dev/null
  send 0 </dev/null
  send 0 </dev/null
  eventually no_children recv
  stop recv
  expect 0 '' ''
}

# has_no_pending PID: it has read every signal that it was sent.
has_no_pending() {
  grep -qE '^ShdPnd:[[:space:]]+0+$' "/proc/$1/status"
}

# term_during_command: a receiver has seen TERM while its command waits for a line on descriptor 7.
term_during_command() {
  mkfifo gate
  exec 7<>gate
  receiver --keep --stdin ./s -- sh -c 'echo in; read -r go; echo out'
  send 7
  eventually grep -qx in recv.out
  kill -TERM "${pid[recv]}"
  eventually has_no_pending "${pid[recv]}"
}

@test "TERM takes nothing new, lets commands finish, and gives status 0" {
  term_during_command
  tool fdsend --ack -t 10 ./s </dev/null
  [[ $status != 0 ]] || differs 3 '' '*'
  echo >&7
  finish recv
  expect 0 $'in\nout' ''
  exec 7>&-
}

@test "a second TERM ends it at once, and the commands go on" {
  term_during_command
  stop recv
  expect 143 in ''
  echo >&7
  eventually grep -qx out recv.out
  exec 7>&-
}

@test "the end of the only connection ends it once its commands have" {
  echo text >file
  channel 'fdsend -o file fd:5; fdsend -o file fd:5; exec 5>&-; fdrecv --keep --stdin - -- cat <&6'
  expect 0 $'text\ntext' ''
}

@test "under rpc-master a script serves connections" {
  start master rpc-master -l :0 -n 2 --handshake none -- \
    fdrecv --keep -- sh -c 'read -r name; echo "hello $name from $PROTO $TCPREMOTEIP"'
  said master ready
  local name port
  port=$(port_of master)
  for name in one two three; do
    tool bash -c "exec 7<>/dev/tcp/127.0.0.1/$port; echo $name >&7; cat <&7"
    expect 0 "hello $name from TCP 127.0.0.1" ''
  done
  stop master
  expect_match 0 '' '.*'
}

@test "closed standard streams do no harm" {
  start recv bash -c 'exec fdrecv --fd 5 ./s -- sh -c "echo done >&5" <&- >&- 2>&-'
  tool fdsend --wait -o out --open-mode write ./s
  expect 0 '' ''
  finish recv
  expect 0 '' ''
  [[ $(cat out) == 'done' ]]
}
