#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT
# How fdrecv receives one message, and what it does with it.

load common
load fdrecv

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
