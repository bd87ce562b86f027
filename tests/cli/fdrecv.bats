#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common
load fdrecv

IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# no_program NAME: it is looked for in vain; bats wants to know of that.
no_program() {
  run -127 --separate-stderr timeout -s KILL "$PATIENCE" fdrecv -c ./s -- "$1"
}

# The command line.

@test "--help describes the tool on stdout" {
  tool fdrecv --help
  expect_match 0 'Receive a descriptor.*
Usage: fdrecv \[options\] \[SOCKET\]
.*fdrecv \[options\] \[SOCKET\] -- COMMAND \[ARG\.\.\.\].*--timeout T .*' ''
}

@test "every option of the documentation is in --help" {
  tool fdrecv --help
  local option
  for option in '-c, --connect' --stdio --stdin --fd --listen-fds --json '-k, --keep' --count \
    --max-processes '-t, --timeout' --mode --allow-uid '-v, --verbose' '-q, --quiet' \
    '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 '.*' ''
}

@test "--version is one exact line" {
  tool fdrecv --version
  expect 0 'fdrecv (handoff) 0.1.0' ''
  tool fdrecv -V
  expect 0 'fdrecv (handoff) 0.1.0' ''
}

@test "without SOCKET, or with more than one, it is a usage error" {
  refuses 'no SOCKET (see fdrecv --help)' fdrecv
  refuses 'no SOCKET (see fdrecv --help)' fdrecv -- cat
  refuses 'more than one SOCKET; a command goes after --' fdrecv ./s cat
}

@test "an unknown option is a usage error" {
  refuses 'unknown option --nope (see fdrecv --help)' fdrecv --nope ./s
}

@test "what places a descriptor needs a command" {
  local option
  for option in --stdio --stdin '--fd 5' --listen-fds --keep; do
    # shellcheck disable=SC2086 # two words
    refuses 'no COMMAND after --' fdrecv $option ./s
  done
  refuses '--json runs no COMMAND' fdrecv --json ./s -- cat
}

@test "ways to place a descriptor exclude each other" {
  tool fdrecv --stdin --fd 5 ./s -- cat
  expect_match 2 '' 'fdrecv: --(stdin|fd) does not go with --(stdin|fd) \(see fdrecv --help\)'
  tool fdrecv --listen-fds --stdio ./s -- cat
  expect_match 2 '' 'fdrecv: --.* does not go with --.* \(see fdrecv --help\)'
  tool fdrecv --json --fd 5 ./s
  expect_match 2 '' 'fdrecv: --.* does not go with --.* \(see fdrecv --help\)'
}

@test "--count and --max-processes need --keep" {
  refuses '--count needs --keep (see fdrecv --help)' fdrecv --count 3 ./s -- cat
  refuses '--max-processes needs --keep (see fdrecv --help)' \
    fdrecv --max-processes 3 ./s -- cat
}

@test "values that are none are usage errors" {
  refuses '--fd 1024: write a number from 0 to 1023' fdrecv --fd 1024 ./s -- cat
  refuses '--fd x: write a number from 0 to 1023' fdrecv --fd x ./s -- cat
  refuses '--count 0: write a number from 1 to 1000000000' \
    fdrecv -k --count 0 ./s -- cat
  refuses '--max-processes 0: write a number from 1 to 100000' \
    fdrecv -k --max-processes 0 ./s -- cat
  refuses '--timeout 5x: write a duration such as 250ms, 2s, 1m or 1h' fdrecv -t 5x ./s
  refuses '--mode 888: write it as 600 or 660' fdrecv --mode 888 ./s
  refuses '--allow-uid no-such: no user has that name or number' fdrecv --allow-uid no-such ./s
}

@test "an option without its value is a usage error" {
  tool fdrecv ./s --fd
  expect_match 2 '' 'fdrecv: --fd needs a value \(see fdrecv --help\)'
  refuses '--timeout needs a value (see fdrecv --help)' fdrecv ./s -t
}

@test "a command that is not there is 127, one that can't be run 126, before anybody is met" {
  echo text >file
  start send fdsend -l ./s
  eventually test -S s
  no_program no-such-program
  expect 127 '' 'fdrecv: cannot run no-such-program: No such file or directory'
  no_program ./none
  expect 127 '' 'fdrecv: cannot run ./none: No such file or directory'
  tool fdrecv -c ./s -- ./file
  expect 126 '' 'fdrecv: cannot run ./file: Permission denied'
  tool fdrecv -c --keep ./s -- /
  expect 126 '' 'fdrecv: cannot run /: Permission denied'
  # Nothing was taken: it is still there for the next.
  tool fdrecv -c --json ./s
  expect_match 0 '\{.*\}' ''
  finish send
  expect 0 '' ''
}

# SOCKET.

@test "a SOCKET that is no Unix socket is a usage error" {
  local why='the descriptor is not a Unix socket'
  tool bash -c 'fdrecv - </dev/null'
  expect 2 '' "fdrecv: SOCKET -: $why"
  tool bash -c ': | fdrecv -'
  expect 2 '' "fdrecv: SOCKET -: $why"
  echo text >file
  tool bash -c 'fdrecv - <file'
  expect 2 '' "fdrecv: SOCKET -: $why"
  tool script -qec 'fdrecv -; echo "status $?"' /dev/null
  expect_match 0 "fdrecv: SOCKET -: $why"$'\r\nstatus 2\r' ''
  tool bash -c 'exec 7>&-; fdrecv fd:7'
  expect 2 '' "fdrecv: SOCKET fd:7: $why"
  tool bash -c 'exec 7>&-; HANDOFF_CHANNEL_FD=7 fdrecv'
  expect 2 '' "fdrecv: SOCKET fd:7: $why"
  tool env HANDOFF_CHANNEL_FD=x fdrecv
  expect 2 '' "fdrecv: fd:x: fd: is followed by a descriptor's number"
}

@test "nobody at SOCKET is status 3 with -c" {
  tool fdrecv -c ./none
  expect 3 '' 'fdrecv: cannot connect to ./none: No such file or directory'
  tool fdrecv -c "@handoff-none-$$"
  expect 3 '' "fdrecv: cannot connect to @handoff-none-$$: Connection refused"
}

@test "a folder that is not there is a failure" {
  tool fdrecv ./none/s
  expect_match 125 '' 'fdrecv: cannot [a-z ]+ \./none/s.*: No such file or directory'
}

@test "- is standard input and fd:N any other" {
  echo text >file
  channel 'fdsend -o file - >&5; exec 5>&-; fdrecv - <&6'
  expect 0 text ''
  channel 'fdsend -o file fd:5; exec 5>&-; fdrecv fd:6'
  expect 0 text ''
}

@test "HANDOFF_CHANNEL_FD is SOCKET when there is none" {
  echo text >file
  channel 'fdsend -o file fd:5; export HANDOFF_CHANNEL_FD=6
    fdrecv --stdin -- sh -c "cat; echo \"<\$HANDOFF_CHANNEL_FD>\""'
  expect 0 $'text\n<>' ''
}

@test "an abstract name is listened on" {
  echo text >file
  start recv fdrecv "@handoff-recv-$$"
  tool fdsend --wait -o file "@handoff-recv-$$"
  expect 0 '' ''
  finish recv
  expect 0 text ''
}

@test "the socket has mode 0600 under any umask, and is removed in the end" {
  echo text >file
  local mask
  for mask in 000 022 777; do
    start recv bash -c "umask $mask; exec fdrecv ./s"
    eventually test -S s
    [[ $(stat -c %a s) == 600 ]]
    send -o file
    finish recv
    expect 0 text ''
    [[ ! -e s && ! -e s.lock ]]
  done
}

@test "--mode sets the mode of the socket" {
  receiver --mode 606 ./s
  [[ $(stat -c %a s) == 606 ]]
  stop recv
  expect 143 '' ''
}

@test "a live owner, a symlink and a file are left alone" {
  receiver ./s
  tool fdrecv ./s
  expect 125 '' "fdrecv: cannot listen on ./s: $IN_USE"
  ln -s elsewhere link
  tool fdrecv ./link
  expect 125 '' 'fdrecv: cannot listen on ./link: Too many levels of symbolic links (a symlink is not followed; name the socket itself)'
  echo text >file
  tool fdrecv ./file
  expect 125 '' 'fdrecv: cannot listen on ./file: File exists (the file is no socket, and is left alone)'
  [[ $(cat file) == text && -L link && ! -e elsewhere ]]
  send -o file
  finish recv
  expect 0 text ''
}

@test "a socket that nobody owns any more is replaced" {
  receiver ./s
  stop recv KILL
  [[ -S s ]]
  echo text >file
  start recv fdrecv ./s
  tool fdsend --wait --ack -o file -t 10 ./s
  while [[ $status == 3 ]]; do # the old one was still there
    tool fdsend --wait --ack -o file ./s
  done
  expect 0 '' ''
  finish recv
  expect 0 text ''
}

@test "of several that start at once, one wins" {
  local name names=(a b c d e f)
  for name in "${names[@]}"; do
    start "$name" fdrecv ./s
  done
  eventually all_but_one_ended
  echo text >file
  send -o file
  local won=0
  for name in "${names[@]}"; do
    finish "$name"
    if [[ $status == 0 ]]; then
      won=$((won + 1))
      expect 0 text ''
    else
      expect 125 '' "fdrecv: cannot listen on ./s: $IN_USE"
    fi
  done
  ((won == 1))
}

all_but_one_ended() {
  (($(grep -l 'Address already in use' ./*.err | wc -l) == 5))
}
