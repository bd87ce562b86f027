#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# receiver [ARG...]: an fdrecv on ./s in the background, which listens.
receiver() {
  start recv fdrecv "$@"
  eventually test -S s
}

# send [ARG...]: fdsend to ./s; it has nothing to say.
send() {
  tool fdsend --ack ./s "$@"
  expect 0 '' ''
}

# channel SCRIPT: runs it with a connected pair of Unix sockets, on 5 and 6.
channel() {
  tool python3 -c 'import os, socket, sys
ends = [os.dup(end.detach()) for end in socket.socketpair()]
for number, end in zip((5, 6), [os.fdopen(os.dup2(end, 20 + i), closefd=False).fileno()
                                for i, end in enumerate(ends)]):
    os.dup2(end, number)
os.closerange(7, 30)
os.execvp("bash", ["bash", "-c", sys.argv[1]])' "$1"
}

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
    --max-processes '-t, --timeout' --mode --allow-uid '-v, --verbose' '-q, --quiet' '-V, --version' \
    '-h, --help'; do
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
  refuses 'more than one SOCKET; a command stands behind --' fdrecv ./s cat
}

@test "an unknown option is a usage error" {
  refuses 'unknown option --nope (see fdrecv --help)' fdrecv --nope ./s
}

@test "what places a descriptor needs a command" {
  local option
  for option in --stdio --stdin '--fd 5' --listen-fds --keep; do
    # shellcheck disable=SC2086 # two words
    refuses 'no COMMAND behind --' fdrecv $option ./s
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
  refuses '--allow-uid nobody: write a number from 0 to 4294967295' fdrecv --allow-uid nobody ./s
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

# Receiving one.

@test "without a command what can be read is copied to stdout" {
  : >file
  receiver ./s
  send -o file
  finish recv
  expect 0 '' ''
}

@test "a large file is copied whole" {
  head -c 5000000 /dev/urandom >large
  receiver ./s
  send -o large
  eventually has_ended "${pid[recv]}"
  cmp large recv.out
  [[ ! -s recv.err ]]
}

@test "a connection is copied until its end" {
  start worker rpc-worker --idle-timeout 50ms -l :0
  said worker ready
  receiver ./s
  send --tcp-connect ":$(port_of worker)"
  finish recv
  [[ $status == 0 && -z $stderr ]] || differs 0 '' ''
}

@test "what can't be read is a failure" {
  receiver ./s
  send -o . </dev/null
  finish recv
  expect 125 '' 'fdrecv: cannot read the received descriptor: Is a directory'
}

@test "stdout that can't be written is a failure" {
  echo text >file
  start recv bash -c 'fdrecv ./s >/dev/full'
  tool fdsend --wait -o file ./s
  expect 0 '' ''
  finish recv
  expect 125 '' 'fdrecv: cannot write to stdout: No space left on device'
}

@test "the status of the command is that of fdrecv" {
  receiver ./s -- sh -c 'exit 7'
  send 0 </dev/null
  finish recv
  expect 7 '' ''
}

@test "a descriptor is 0 and 1 of the command, by default and with --stdio" {
  local option
  for option in '' --stdio; do
    echo line >file
    # shellcheck disable=SC2086 # no word when empty
    receiver $option ./s -- sh -c 'read -r line; echo "got $line"; echo to stderr >&2'
    send -o file --open-mode read-write
    finish recv
    expect 0 '' 'to stderr'
    [[ $(cat file) == $'line\ngot line' ]]
  done
}

@test "a descriptor is 0 of the command alone with --stdin" {
  echo line >file
  receiver --stdin ./s -- cat
  send -o file
  finish recv
  expect 0 line ''
}

@test "descriptors are where --fd says, in order" {
  echo one >one
  echo two >two
  receiver --fd 6 --fd 5 ./s -- sh -c 'cat <&5; cat <&6'
  send -o one -o two
  finish recv
  expect 0 $'two\none' ''
}

@test "--fd can be 0, 1, 2 and the greatest" {
  echo one >one
  receiver --fd 0 --fd 1 ./s -- cat
  send -o one -o /dev/null --open-mode read-write
  finish recv
  expect 0 '' ''
  receiver --fd 2 ./s -- sh -c 'echo error >&2'
  send -o two --open-mode write
  finish recv
  expect 0 '' ''
  [[ $(cat two) == error ]]
  # 1023 is the last number under the usual limit.
  start recv bash -c 'ulimit -n 1024; exec fdrecv --fd 1023 ./s -- bash -c "cat <&1023"'
  tool fdsend --wait -o one ./s
  expect 0 '' ''
  finish recv
  expect 0 one ''
}

@test "with --listen-fds descriptors are from 3 on, with their names" {
  echo one >one
  echo two >two
  receiver --listen-fds ./s -- sh -c 'cat <&3; cat <&4; echo "$LISTEN_FDS $LISTEN_FDNAMES"
    test "$LISTEN_PID" = $$ && echo mine'
  send -o one -o two -n first
  finish recv
  expect 0 $'one\ntwo\n2 first:unknown\nmine' ''
}

@test "a program that is activated by sockets is served by --listen-fds" {
  receiver --listen-fds ./s -- rpc-worker
  tool fdsend -n rpc --tcp-listen :0 ./s
  expect_match 0 '' 'fdsend: listening, on .*'
  local address=${stderr##* }
  tool rpc-call --wait "$address" echo 1
  expect 0 1 ''
  stop recv
  expect 0 '' "rpc-worker: ready, on $address"
}

@test "the command sees the declared descriptors and 0 to 2, and no other" {
  local way
  for way in '--fd 5 --fd 9' '--keep --count 1 --fd 5 --fd 9'; do
    start recv bash -c "exec 6</dev/null 7<>file 8>&1 12</dev/null 50</dev/null
      exec fdrecv $way ./s -- ls /proc/self/fd"
    tool fdsend --wait --ack ./s 0 0 </dev/null
    expect 0 '' ''
    finish recv
    # 3 is the folder, which ls has opened.
    expect 0 $'0\n1\n2\n3\n5\n9' ''
  done
}

@test "the socket - is not the standard input of the command" {
  local way
  for way in '' '--keep --count 1'; do
    channel "fdsend fd:5 0 </dev/null; fdrecv $way --fd 7 - <&6 -- readlink /proc/self/fd/0"
    expect 0 /dev/null ''
  done
}

@test "the command has the environment without what was meant for fdrecv" {
  start recv env LISTEN_FDS=1 LISTEN_PID=1 LISTEN_FDNAMES=x HANDOFF_WORKER=1 NOTIFY_SOCKET=/x \
    KEPT=1 fdrecv --stdin ./s -- env
  tool fdsend --wait ./s </dev/null
  expect 0 '' ''
  finish recv
  [[ $output == *KEPT=1* && ! $output =~ LISTEN_|HANDOFF_WORKER|NOTIFY_SOCKET ]]
  expect_match 0 '.*' ''
}

@test "the command has no variable that describes another connection" {
  start recv env TCPREMOTEIP=10.9.8.7 TCPREMOTEINFO=root IPCREMOTEEUID=0 UNIXREMOTEEUID=0 \
    SSLREMOTEIP=10.9.8.7 SSL_CLIENT_S_DN=root REMOTE_ADDR=10.9.8.7 REMOTE_HOST=trusted \
    NCAT_REMOTE_ADDR=10.9.8.7 SOCAT_PEERADDR=10.9.8.7 SSH_CLIENT=10.9.8.7 RPC_PEER=10.9.8.7:1 \
    SSL_CERT_FILE=kept fdrecv --stdin ./s -- env
  tool fdsend --wait ./s </dev/null
  expect 0 '' ''
  finish recv
  [[ $output == *SSL_CERT_FILE=kept* && ! $output =~ REMOTE|PEER|SSL_CLIENT|SSH_CLIENT ]]
  expect_match 0 '.*' ''
}

@test "a TCP connection sets the variables of inetd programs" {
  start worker rpc-worker -l :0
  said worker ready
  receiver --stdin ./s -- sh -c \
    'echo "$PROTO $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP"; test "$TCPLOCALPORT" -gt 0'
  send --tcp-connect ":$(port_of worker)"
  finish recv
  expect 0 "TCP 127.0.0.1 $(port_of worker) 127.0.0.1" ''
}

@test "--json prints a line for each descriptor and runs nothing" {
  mkfifo fifo
  exec 7<>fifo
  receiver --json ./s
  send -n 'a"b\c' 0 7 </dev/null
  finish recv
  expect 0 "{\"name\":\"a\\\"b\\\\c\",\"type\":\"character device\",\"path\":\"/dev/null\"}
{\"type\":\"pipe\",\"path\":\"$PWD/fifo\"}" ''
}

@test "--json tells the kind of everything" {
  receiver --json ./s
  tool python3 -c 'import os, pty, select, socket, subprocess
inet = socket.socket(); inet.bind(("127.0.0.1", 0)); inet.listen()
udp = socket.socket(type=socket.SOCK_DGRAM)
client = socket.create_connection(inet.getsockname())
unix, _ = socket.socketpair()
epoll = select.epoll()
master, terminal = pty.openpty()
numbers = [os.open(".", 0), os.pipe()[0], terminal, udp.fileno(), client.fileno(),
           unix.fileno(), inet.fileno(), epoll.fileno(), os.memfd_create("m"),
           os.pidfd_open(os.getpid()), master]  # a terminal is none without its master
names = [word for n in range(len(numbers)) for word in ("-n", "n%d" % n)]
subprocess.run(["fdsend", *names, "./s", *map(str, numbers)], pass_fds=numbers, check=True)'
  expect 0 '' ''
  finish recv
  expect_match 0 '.*' ''
  [[ $(jq -r '.name + " " + .type' <<<"$output") == 'n0 directory
n1 pipe
n2 terminal
n3 udp
n4 tcp
n5 unix
n6 tcp
n7 eventpoll
n8 memfd
n9 pidfd
n10 terminal' ]] || differs 0 '' ''
  [[ $(jq -c 'select(.listening) | .name' <<<"$output") == '"n6"' ]]
}

# What goes wrong with one.

@test "more descriptors than expected are all refused" {
  receiver ./s -- cat
  tool fdsend ./s 0 0 0 </dev/null
  expect 0 '' ''
  finish recv
  expect 4 '' 'fdrecv: cannot receive on ./s: 3 descriptors came where 1 was expected'
}

@test "fewer descriptors than expected are refused" {
  receiver --fd 5 --fd 6 --fd 7 ./s -- cat
  tool fdsend ./s 0 0 </dev/null
  expect 0 '' ''
  finish recv
  expect_match 4 '' 'fdrecv: cannot receive on \./s: 2 descriptors came where 3 (was|were) expected'
}

@test "a sender that closes and sends nothing is status 4 when it is the only one" {
  channel 'exec 5>&-; fdrecv - <&6'
  expect 4 '' 'fdrecv: cannot receive on -: the sender closed and sent nothing'
}

@test "bytes without a descriptor are status 4" {
  channel 'printf x >&5; fdrecv - <&6'
  expect 4 '' 'fdrecv: cannot receive on -: bytes came without a descriptor'
}

@test "a message that is malformed or ends early is status 4" {
  channel 'printf "HOFD\2\0\0\0" >&5; fdrecv - <&6'
  expect 4 '' 'fdrecv: cannot receive on -: the message is malformed'
  channel 'printf "HOFD\1" >&5; exec 5>&-; fdrecv - <&6'
  expect 4 '' 'fdrecv: cannot receive on -: the sender closed within a message'
}

@test "a deadline is status 124 at each step" {
  tool fdrecv -t 50ms ./s
  expect 124 '' 'fdrecv: no connection on ./s: timed out after 50ms'
  tool fdrecv -t 50ms --keep ./s -- cat
  expect 124 '' 'fdrecv: no connection on ./s: timed out after 50ms'
  channel 'fdrecv -t 50ms - <&6'
  expect 124 '' 'fdrecv: cannot receive on -: timed out after 50ms'
  channel 'printf "HOFD" >&5; fdrecv -t 50ms - <&6'
  expect 124 '' 'fdrecv: cannot receive on -: timed out after 50ms'
  [[ ! -e s && ! -e s.lock ]]
}

@test "TERM and HUP end it by that signal, and the socket is removed" {
  local signal
  for signal in TERM HUP; do
    receiver ./s
    stop recv "$signal"
    expect "$((128 + $(kill -l "$signal")))" '' ''
    [[ ! -e s && ! -e s.lock ]]
  done
}

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

@test "TERM takes nothing new, lets commands finish, and gives status 0" {
  mkfifo gate
  exec 7<>gate
  receiver --keep --stdin ./s -- sh -c 'echo in; read -r go; echo out'
  send 7
  eventually grep -qx in recv.out
  kill -TERM "${pid[recv]}"
  eventually has_no_pending "${pid[recv]}"
  tool fdsend --ack -t 10 ./s </dev/null
  [[ $status != 0 ]] || differs 3 '' '*'
  echo >&7
  finish recv
  expect 0 $'in\nout' ''
  exec 7>&-
}

@test "a second TERM ends it at once, and the commands go on" {
  mkfifo gate
  exec 7<>gate
  receiver --keep --stdin ./s -- sh -c 'echo in; read -r go; echo out'
  send 7
  eventually grep -qx in recv.out
  kill -TERM "${pid[recv]}"
  eventually has_no_pending "${pid[recv]}"
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
