#!/usr/bin/env bats
# shellcheck disable=SC2154 # common.bash has the rest
# SPDX-License-Identifier: MIT
# What rpc-master --dry-run says: what the start would say, and what would be done.

load common

# would DO [ARG...]: with these words a server would start, and stderr is one line.
would() {
  local line=$1
  shift
  tool rpc-master --dry-run "$@"
  expect 0 '' "rpc-master: would $line"
}

# fails_alike STATUS WHY [ARG...]: the dry run fails, and the start in the same way.
fails_alike() {
  local wanted=$1 why=$2
  shift 2
  tool rpc-master --dry-run "$@"
  expect "$wanted" '' "rpc-master: $why"
  tool rpc-master "$@"
  expect "$wanted" '' "rpc-master: $why"
}

# As a user who is not root. Skips the test where that user can't run the tool.
unprivileged() {
  if ((EUID == 0)); then
    setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
  else
    "$@"
  fi
}

need_unprivileged() {
  chmod 0755 .
  unprivileged rpc-master --version >/dev/null || skip 'another user can not run the tool'
}

# enter_empty_folder, and later expect_nothing_left: no file was made there.
enter_empty_folder() {
  mkdir empty
  cd empty || return
}

expect_nothing_left() {
  local left
  left=$(ls -A)
  [[ -z $left ]] || {
    echo "left: $left"
    return 1
  }
}

@test "it says where and with what a server would listen, and leaves nothing" {
  enter_empty_folder
  would 'listen on ./m with 4 workers: rpc-worker -C 1' -l ./m -n 4 -- rpc-worker -C 1
  would 'listen on 127.0.0.1:0 ./m (workers would join at ./j) (control at ./c) with 1 worker: true' \
    -l :0 -l ./m -j ./j -c ./c --pidfile ./pid -n 1 -- true
  would 'listen on @handoff-dry-run (workers would join at ./j) with 0 workers' \
    -l @handoff-dry-run -j ./j
  would 'listen on ./m (status at ./s) with 1 worker: true' -l ./m --status ./s -n 1 -- true
  expect_nothing_left
}

@test "it starts no worker" {
  enter_empty_folder
  would 'listen on ./m with 1 worker: touch started' -l ./m -n 1 -- touch started
  expect_nothing_left
}

@test "with -q it says nothing of a server that would start" {
  tool rpc-master -q --dry-run -l ./m -- true
  expect 0 '' ''
}

@test "an address that the running server has is reported, and is no failure" {
  start master rpc-master -l :0 -l ./m -l @handoff-dry-run-$$ -c ./c -j ./j --pidfile pid -n 1 \
    -- rpc-worker
  said master '^rpc-master: ready'
  local port
  port=$(port_of master)
  tool rpc-master --dry-run -l ./m -l @handoff-dry-run-$$ -l ":$port" -c ./c -j ./j --pidfile pid \
    -n 1 -- rpc-worker
  expect 0 '' "rpc-master: the pidfile pid is that of a process that runs
rpc-master: ./m is in use
rpc-master: @handoff-dry-run-$$ is in use
rpc-master: 127.0.0.1:$port is in use
rpc-master: ./j is in use
rpc-master: ./c is in use
rpc-master: would listen on ./m @handoff-dry-run-$$ 127.0.0.1:$port (workers would join at ./j) (control at ./c) with 1 worker: rpc-worker"
  tool rpc-call ./m ping
  expect 0 null ''
  tool rpc-call ./c ping
  expect 0 null ''
}

@test "a socket that nobody locks is in use too, and a stale one is not" {
  start_worker
  rm w.lock
  tool rpc-master --dry-run -l ./w -n 1 -- true
  expect 0 '' $'rpc-master: ./w is in use\nrpc-master: would listen on ./w with 1 worker: true'
  kill -KILL "${pid[worker]}"
  finish worker
  would 'listen on ./w with 1 worker: true' -l ./w -n 1 -- true
  [[ -S w ]]
}

@test "a lock and a socket that a killed server has left are no failure, and stay" {
  start_worker
  kill -KILL "${pid[worker]}"
  finish worker
  [[ -S w && -e w.lock ]]
  would 'listen on ./w with 1 worker: true' -l ./w -n 1 -- true
  [[ -S w && -e w.lock ]]
}

@test "an IPv6 address in use is reported" {
  has_ipv6 || skip 'there is no IPv6'
  start master rpc-master -l '[::1]:0' -n 1 -- rpc-worker
  said master '^rpc-master: ready'
  local port
  port=$(port_of master)
  tool rpc-master --dry-run -l "[::1]:$port" -n 1 -- true
  expect 0 '' "rpc-master: [::1]:$port is in use
rpc-master: would listen on [::1]:$port with 1 worker: true"
  would "listen on 127.0.0.1:$port with 1 worker: true" -l ":$port" -n 1 -- true
}

@test "a command that is not there, or can not be run, is what the start says" {
  local words
  for words in --dry-run ''; do
    # shellcheck disable=SC2086 # a word or none
    run -127 --separate-stderr timeout -s KILL "$PATIENCE" rpc-master $words -l ./m -- no-such-command
    expect 127 '' 'rpc-master: cannot run no-such-command: No such file or directory'
  done
  echo text >text
  fails_alike 126 'cannot run ./text: Permission denied' -l ./m -- ./text
  fails_alike 126 'cannot run /: Permission denied' -l ./m -- /
}

@test "an address that others could reach needs --public" {
  fails_alike 2 'cannot listen on 0.0.0.0:8080: other hosts could connect (--public allows it)' \
    -l 0.0.0.0:8080 -- true
  would 'listen on 0.0.0.0:0 with 1 worker: true' -l 0.0.0.0:0 --public -n 1 -- true
}

@test "an address of another host, and an unknown name, are what the start says" {
  fails_alike 125 'cannot listen on 192.0.2.1:0: Cannot assign requested address (no interface of this host has that address)' \
    -l 192.0.2.1:0 --public -- true
  tool rpc-master --dry-run -l no-such-host.invalid:80 --public -- true
  expect_match 3 '' 'rpc-master: cannot look up no-such-host.invalid: .*'
}

@test "what is in the way of a socket is what the start says" {
  local left='file is no socket, and is left alone'
  mkdir folder
  touch file
  ln -s elsewhere link
  ln -s elsewhere a.lock
  echo text >b.lock
  touch c.new
  fails_alike 125 "cannot listen on ./folder: File exists (the $left)" -l ./folder -- true
  fails_alike 125 "cannot listen on ./file: File exists (the $left)" -l ./file -- true
  fails_alike 125 'cannot listen on ./link: Too many levels of symbolic links (a symlink is not followed; name the socket itself)' \
    -l ./link -- true
  fails_alike 125 'cannot listen on ./a: the file ./a.lock is in the way (remove it if nothing needs it)' \
    -l ./a -- true
  fails_alike 125 'cannot listen on ./b: the file ./b.lock is in the way (remove it if nothing needs it)' \
    -l ./b -- true
  fails_alike 125 'cannot listen on ./c: the file ./c.new is in the way (remove it if nothing needs it)' \
    -l ./c -- true
  fails_alike 125 "cannot listen on ./file: File exists (the $left)" -l ./m -c ./file -- true
  fails_alike 125 "cannot listen on ./file: File exists (the $left)" -l ./m -j ./file -- true
}

@test "a folder that is not there is what the start says" {
  fails_alike 125 'cannot lock ./none/m.lock: No such file or directory' -l ./none/m -- true
  fails_alike 125 'cannot lock ./none/j.lock: No such file or directory' -l ./m -j ./none/j -- true
  fails_alike 125 'cannot lock ./none/c.lock: No such file or directory' -l ./m -c ./none/c -- true
  touch file
  fails_alike 125 'cannot lock ./file/m.lock: Not a directory' -l ./file/m -- true
  fails_alike 125 'cannot write the pidfile none/pid: No such file or directory' \
    -l ./m --pidfile none/pid -- true
}

@test "a path that is too long is what the start says" {
  local path
  path=./$(printf '%0*d' 103 0)
  fails_alike 2 "cannot listen on $path: a path to listen on has at most 103 bytes" -l "$path" -- true
}

@test "a file that is no pidfile is what the start says" {
  echo text >file
  fails_alike 125 'cannot write the pidfile file: file is no pidfile (remove it if nothing needs it)' \
    -l ./m --pidfile file -- true
}

@test "a descriptor that is no listener is what the start says" {
  fails_alike 125 'cannot listen on fd:9: Bad file descriptor' -l fd:9 -- true
  fails_alike 125 'cannot listen on fd:0: Socket operation on non-socket' -l fd:0 -- true
  fails_alike 2 "cannot listen on exec:cat: a command can't be listened on" -l exec:cat -- true
}

@test "more listeners than a worker can be passed are what the start says" {
  local words=() i
  for ((i = 0; i < 17; ++i)); do words+=(-l "./m$i"); done
  fails_alike 2 '--pass listener can pass 16 of them, not 17' -p listener "${words[@]}" -- true
}

@test "limits that are too low for a queue are what the start says" {
  ulimit -n 70
  fails_alike 2 'a limit of 70 descriptors (ulimit -n) is not enough for 2 workers' \
    -p queue -l ./m -n 2 -- true
}

@test "a user's name that is not known, and other usage errors, are what the start says" {
  fails_alike 2 '--allow-uid nobody-of-this-name: no user has that name or number' \
    -l ./m --allow-uid nobody-of-this-name -- true
  fails_alike 2 './m is named twice: an address can have only one listener' -l ./m -l ./m -- true
}

@test "a port that needs privileges is what the start says" {
  need_unprivileged
  local first
  first=$(</proc/sys/net/ipv4/ip_unprivileged_port_start)
  ((first > 1)) || skip 'every user may have every port here'
  local why='rpc-master: cannot listen on 127.0.0.1:1: Permission denied (ports below 1024 need root or CAP_NET_BIND_SERVICE)'
  run --separate-stderr unprivileged timeout 20 rpc-master --dry-run -l :1 -- true
  expect 125 '' "$why"
  run --separate-stderr unprivileged timeout 20 rpc-master -l :1 -- true
  expect 125 '' "$why"
}

@test "a folder that may not be written to is what the start says" {
  need_unprivileged
  mkdir folder
  chmod 0555 folder
  local word
  for word in 'rpc-master --dry-run' rpc-master; do
    # shellcheck disable=SC2086 # two words
    run --separate-stderr unprivileged timeout 20 $word -l ./folder/m -- true
    expect 125 '' 'rpc-master: cannot lock ./folder/m.lock: Permission denied'
    # shellcheck disable=SC2086 # two words
    run --separate-stderr unprivileged timeout 20 $word -l @handoff-dry-run-$$ --pidfile folder/pid \
      -- true
    expect 125 '' 'rpc-master: cannot write the pidfile folder/pid: Permission denied'
  done
}
