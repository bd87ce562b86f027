#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

IN_USE='Address already in use (another process listens there; `ss -lptx` names it)'

# receive [ARG...]: an fdrecv on ./s in the background.
receive() {
  start recv fdrecv ./s "$@"
}

# arrives TEXT: what was sent is a file with this text.
arrives() {
  expect 0 '' ''
  finish recv
  expect 0 "$1" ''
}

# holder [ARG...]: an fdsend --keep on ./s, ready.
holder() {
  start holder fdsend -l --keep "$@"
  said holder '^fdsend: ready, on '
}

# The command line.

@test "--help describes the tool on stdout" {
  tool fdsend --help
  expect_match 0 'Send descriptors .*
Usage: fdsend \[options\] SOCKET \[FD\.\.\.\].*--timeout T .*' ''
}

@test "every option of the documentation is in --help" {
  tool fdsend --help
  local option
  for option in '-o, --open' --tcp-listen --tcp-connect --pid --open-mode '-n, --name' --byte \
    --ack '-l, --listen' --keep --wait --public '-t, --timeout' --mode --allow-uid \
    '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 '.*' ''
}

@test "--version is one exact line" {
  tool fdsend --version
  expect 0 'fdsend (handoff) 0.1.0' ''
  tool fdsend -V
  expect 0 'fdsend (handoff) 0.1.0' ''
}

@test "without SOCKET it is a usage error" {
  refuses 'no SOCKET (see fdsend --help)' fdsend
  refuses 'no SOCKET (see fdsend --help)' fdsend -n name
}

@test "an unknown option is a usage error" {
  refuses 'unknown option --nope (see fdsend --help)' fdsend --nope ./s
}

@test "a descriptor that is none is a usage error" {
  refuses 'x: write the number of a descriptor' fdsend ./s x
  refuses '-1: write the number of a descriptor' fdsend ./s -1
  refuses '5x: write the number of a descriptor' fdsend ./s 5x
  refuses '99999999999: write the number of a descriptor' fdsend ./s 99999999999
  refuses 'cannot take descriptor 7: it is not open' bash -c 'exec fdsend ./s 7 7>&-' ||
    expect 2 '' 'fdsend: cannot take descriptor 7: it is not open'
}

@test "options that contradict each other are usage errors" {
  refuses '--keep needs --listen (see fdsend --help)' fdsend --keep ./s
  refuses '--listen does not go with --wait (see fdsend --help)' fdsend -l --wait ./s
}

@test "values that are none are usage errors" {
  refuses '--byte 256: write a number from 0 to 255' fdsend --byte 256 ./s
  refuses '--byte -1: write a number from 0 to 255' fdsend --byte -1 ./s
  refuses '--timeout 5x: write a duration such as 250ms, 2s, 1m or 1h' fdsend -t 5x ./s
  refuses '--mode 888: write it as 600 or 660' fdsend -l --mode 888 ./s
  refuses '--mode 1777: write it as 600 or 660' fdsend -l --mode 1777 ./s
  refuses '--pid 1: write PID:FD, as in 1234:5' fdsend --pid 1 ./s
  refuses '--pid 0:1: write PID:FD, as in 1234:5' fdsend --pid 0:1 ./s
  refuses '--allow-uid no-such: no user has that name or number' fdsend --allow-uid no-such ./s
  tool fdsend --open-mode sideways -o x ./s
  expect 2 '' 'fdsend: --open-mode sideways: write read, write, append or read-write'
}

@test "an option without its value is a usage error" {
  refuses '--open needs a value (see fdsend --help)' fdsend ./s -o
  refuses '--pid needs a value (see fdsend --help)' fdsend ./s --pid
  refuses '--timeout needs a value (see fdsend --help)' fdsend ./s -t
}

@test "a name that is none, or more names than descriptors, are usage errors" {
  local rule='write 1 to 255 printable characters, no space and no colon'
  refuses "--name a:b: $rule" fdsend -n a:b ./s
  refuses "--name a b: $rule" fdsend -n 'a b' ./s
  refuses "--name '': $rule" fdsend -n '' ./s
  refuses 'cannot give 2 names: there is 1 descriptor' fdsend -n a -n b ./s
}

@test "254 descriptors are a usage error, and nothing is left behind" {
  local -a many
  mapfile -t many < <(yes 0 | head -n 254)
  refuses 'cannot send 254 descriptors: a message carries at most 253' fdsend ./s "${many[@]}"
  refuses 'cannot send 254 descriptors: a message carries at most 253' fdsend -l ./s "${many[@]}"
  [[ ! -e s && ! -e s.lock ]]
}

@test "253 descriptors are sent, plain and with names" {
  local -a many names
  mapfile -t many < <(yes 0 | head -n 253)
  receive --json
  tool fdsend --wait ./s "${many[@]}" </dev/null
  expect 0 '' ''
  finish recv
  expect_match 0 '.*' ''
  [[ $(sort <<<"$output" | uniq -c) =~ ^\ *253\ \{\"type\":\"character\ device\" ]]
  # The greatest message: each name has 255 bytes.
  local name i
  printf -v name '%0252d' 0
  for ((i = 0; i < 253; i++)); do
    names+=(-n "$(printf '%s%03d' "$name" "$i")")
  done
  receive --json
  tool fdsend --wait --ack "${names[@]}" ./s "${many[@]}" </dev/null
  expect 0 '' ''
  finish recv
  expect_match 0 ".*${name}252.*" ''
  [[ $(wc -l <<<"$output") == 253 && $(sort <<<"$output") == "$output" ]]
}

# SOCKET.

@test "a SOCKET that is no Unix socket is a usage error" {
  local why='the descriptor is not a Unix socket'
  refuses "SOCKET -: $why" fdsend - </dev/null
  tool bash -c 'fdsend - >file'
  expect 2 '' "fdsend: SOCKET -: $why"
  tool bash -c 'fdsend - </dev/null | cat; exit "${PIPESTATUS[0]}"'
  expect 2 '' "fdsend: SOCKET -: $why"
  tool bash -c 'exec 7>&-; fdsend fd:7'
  expect 2 '' "fdsend: SOCKET fd:7: $why"
  tool script -qec 'fdsend -; echo "status $?"' /dev/null
  expect_match 0 "fdsend: SOCKET -: $why"$'\r\nstatus 2\r' ''
  refuses "fd:x: fd: is followed by a descriptor's number" fdsend fd:x
  refuses "'': an abstract name has 1 to 107 bytes" fdsend @
}

@test "a TCP socket is no SOCKET" {
  start worker rpc-worker -l :0
  said worker ready
  tool bash -c "fdsend fd:7 7<>/dev/tcp/127.0.0.1/$(port_of worker)"
  expect 2 '' 'fdsend: SOCKET fd:7: the descriptor is not a Unix socket'
}

@test "nobody at SOCKET is status 3" {
  tool fdsend ./none
  expect 3 '' 'fdsend: cannot connect to ./none: No such file or directory'
  tool fdsend "@handoff-none-$$"
  expect 3 '' "fdsend: cannot connect to @handoff-none-$$: Connection refused"
  echo text >file
  tool fdsend ./file
  expect 3 '' 'fdsend: cannot connect to ./file: Connection refused (the file is no socket)'
}

@test "a path is taken with and without unix: and ./" {
  echo text >file
  local name
  for name in s ./s "$PWD/s" unix:s; do
    receive
    tool fdsend --wait "$name" <file
    arrives text
  done
}

@test "an abstract name is connected to" {
  echo text >file
  start recv fdrecv "@handoff-send-$$"
  tool fdsend --wait "@handoff-send-$$" <file
  arrives text
}

@test "--wait waits for the socket, and gives up at the deadline" {
  tool fdsend --wait -t 60ms ./s </dev/null
  expect 124 '' 'fdsend: cannot connect to ./s within 60ms: No such file or directory'
  echo text >file
  start send fdsend --wait ./s <file
  tool fdrecv ./s
  expect 0 text ''
  finish send
  expect 0 '' ''
}

@test "words behind -- are SOCKET and descriptors too" {
  echo text >file
  receive
  tool fdsend --wait -- ./s 0 <file
  arrives text
}

# What is sent.

@test "standard input is sent by default" {
  echo text >file
  receive
  tool fdsend --wait ./s <file
  arrives text
}

@test "descriptors come first, then those of options in their order" {
  mkfifo fifo
  echo text >file
  receive --json
  tool bash -c 'exec 7<>fifo; fdsend --wait -o file --pid $$:7 -o fifo --open-mode read-write \
    -n a -n b -n c -n d ./s 7'
  expect 0 '' ''
  finish recv
  expect 0 "{\"name\":\"a\",\"type\":\"pipe\",\"path\":\"$PWD/fifo\"}
{\"name\":\"b\",\"type\":\"file\",\"path\":\"$PWD/file\"}
{\"name\":\"c\",\"type\":\"pipe\",\"path\":\"$PWD/fifo\"}
{\"name\":\"d\",\"type\":\"pipe\",\"path\":\"$PWD/fifo\"}" ''
}

@test "names may be fewer than descriptors" {
  receive --json
  tool fdsend --wait -n first ./s 0 0 </dev/null
  expect 0 '' ''
  finish recv
  expect 0 '{"name":"first","type":"character device","path":"/dev/null"}
{"type":"character device","path":"/dev/null"}' ''
}

@test "a file that can't be opened is a failure before anybody is met" {
  tool fdsend -o none ./s
  expect 125 '' 'fdsend: cannot open none: No such file or directory'
  tool fdsend -o . --open-mode write ./s
  expect 125 '' 'fdsend: cannot open .: Is a directory'
}

@test "a FIFO that has no writer yet does not keep a signal away" {
  mkfifo fifo
  start send fdsend -o fifo ./s
  eventually grep -qs '^State:.S' "/proc/${pid[send]}/status"
  stop send
  expect 143 '' ''
}

@test "--open-mode says how a file is opened" {
  local mode
  for mode in read write append read-write; do
    echo before >"$mode"
    receive -- sh -c 'echo after'
    tool fdsend --wait -o "$mode" --open-mode "$mode" ./s
    expect 0 '' ''
    finish recv
  done
  [[ $(cat read) == before && $(cat write) == after && $(cat read-write) == after ]]
  [[ $(cat append) == $'before\nafter' ]]
}

@test "--open-mode append makes a file that is missing" {
  receive -- echo made
  tool fdsend --wait -o new --open-mode append ./s
  expect 0 '' ''
  finish recv
  expect 0 '' ''
  [[ $(<new) == made ]]
}

@test "--pid of no process and of no descriptor is a failure that names both" {
  local gone
  sleep 0 &
  gone=$!
  wait "$gone"
  tool fdsend --pid "$gone:0" ./s
  expect 125 '' "fdsend: cannot take $gone:0: No such process"
  tool bash -c 'fdsend --pid $$:77 ./s; status=$?; echo $$; exit $status'
  expect 125 "$output" "fdsend: cannot take $output:77: Bad file descriptor"
}

@test "--tcp-listen says its address and sends a listener" {
  receive --json
  tool fdsend --wait --tcp-listen :0 ./s
  expect_match 0 '' 'fdsend: listening, on 127\.0\.0\.1:[0-9]+'
  local address=${stderr##* }
  finish recv
  expect 0 "{\"type\":\"tcp\",\"local\":\"$address\",\"listening\":true}" ''
  receive --json
  tool fdsend -q --wait --tcp-listen :0 ./s
  expect 0 '' ''
}

@test "an address that other hosts can reach needs --public" {
  refuses 'cannot listen on 0.0.0.0:0: other hosts could connect (--public allows it)' \
    fdsend --tcp-listen 0.0.0.0:0 ./s
  receive --json
  tool fdsend --wait --public --tcp-listen 0.0.0.0:0 ./s
  expect_match 0 '' 'fdsend: listening, on 0\.0\.0\.0:[0-9]+'
}

@test "an address of --tcp-listen that is in use is a failure" {
  start worker rpc-worker -l :0
  said worker ready
  tool fdsend --tcp-listen ":$(port_of worker)" ./s
  expect 125 '' "fdsend: cannot listen on 127.0.0.1:$(port_of worker): $IN_USE"
}

@test "--tcp-listen and --tcp-connect take TCP addresses only" {
  local address
  for address in ./x @x fd:0 exec:true; do
    tool fdsend -t 10 --tcp-listen "$address" ./s </dev/null
    expect_match 2 '' 'fdsend: .*'
    tool fdsend -t 10 --tcp-connect "$address" ./s </dev/null
    expect_match 2 '' 'fdsend: .*'
  done
  [[ ! -e x ]]
}

@test "--tcp-connect to nobody is status 3" {
  receive --json
  tool fdsend --wait --tcp-listen :0 ./s
  # Whoever had the listener is gone.
  finish recv
  local address
  address=$(jq -r .local <<<"$output")
  tool fdsend --tcp-connect "$address" ./s
  expect 3 '' "fdsend: cannot connect to $address: Connection refused"
  tool fdsend --tcp-connect nowhere ./s
  expect_match 2 '' 'fdsend: --tcp-connect nowhere: no port: .*'
}

@test "a SOCKET that is meant for something else is a usage error that says what to write" {
  local unix='descriptors pass through Unix sockets alone: write a path such as ./name.sock, or @name'
  refuses "SOCKET :90: $unix" fdsend :90
  refuses "SOCKET localhost:90: $unix" fdsend localhost:90
  refuses "SOCKET http://localhost/: $unix" fdrecv http://localhost/
  refuses "SOCKET 5: write fd:5 for the descriptor, or ./5 for a socket's file" fdsend 5
  refuses "SOCKET 5: write fd:5 for the descriptor, or ./5 for a socket's file" fdrecv 5
  refuses '--allow-uid no-such: no user has that name or number' fdsend --allow-uid no-such ./s
}

@test "a connection of --tcp-connect is usable where it arrives" {
  start worker rpc-worker -l :0
  said worker ready
  start recv fdrecv --fd 7 ./s -- rpc-call fd:7 echo '"passed"'
  tool fdsend --wait --tcp-connect ":$(port_of worker)" ./s
  arrives '"passed"'
}

# Listening.

@test "-l sends to whoever connects, and the socket is removed" {
  echo text >file
  start send fdsend -l -o file ./s
  eventually test -S s
  [[ $(stat -c %a s) == 600 ]]
  tool fdrecv -c ./s
  expect 0 text ''
  finish send
  expect 0 '' ''
  [[ ! -e s && ! -e s.lock ]]
}

@test "--mode sets the mode of the socket under any umask" {
  local mask
  for mask in 000 077 777; do
    start send bash -c "umask $mask; exec fdsend -l --mode 660 ./s"
    eventually test -S s
    [[ $(stat -c %a s) == 660 ]]
    tool fdrecv -c --json ./s
    expect_match 0 '\{.*\}' ''
    finish send
    expect 0 '' ''
  done
}

@test "-l gives up at the deadline, and the socket is removed" {
  tool fdsend -l -t 50ms ./s
  expect 124 '' 'fdsend: no connection on ./s: timed out after 50ms'
  [[ ! -e s && ! -e s.lock ]]
}

@test "a signal ends -l and --keep, and the socket is removed" {
  local signal
  for signal in TERM INT HUP; do
    # What the shell starts in the background ignores INT.
    start send env --default-signal=INT fdsend -l ./s
    eventually test -S s
    stop send "$signal"
    expect "$((128 + $(kill -l "$signal")))" '' ''
    [[ ! -e s && ! -e s.lock ]]
    holder ./s
    stop holder "$signal"
    [[ ! -e s && ! -e s.lock ]]
  done
}

@test "--keep sends the same to every asker" {
  mkfifo fifo
  exec 7<>fifo
  holder ./s 7
  local word
  for word in one two three; do
    echo "$word" >&7
    tool fdrecv -c --stdin ./s -- head -n 1
    expect 0 "$word" ''
  done
  exec 7>&-
  tool fdsend -l ./s
  expect 125 '' "fdsend: cannot listen on ./s: $IN_USE"
}

@test "--keep survives an asker that goes away without confirming" {
  holder --ack ./s
  tool fdrecv -c --fd 5 --fd 6 ./s -- true
  expect_match 4 '' 'fdrecv: cannot receive on \./s: 1 descriptors? came where 2 .*'
  said holder '^fdsend: cannot send to \./s: the receiver '
  tool fdrecv -c --json ./s
  expect_match 0 '\{"type":.*\}' ''
}

@test "a file, a symlink and a live owner in the way are left alone, a stale socket is replaced" {
  echo text >file
  ln -s elsewhere link
  tool fdsend -l ./file
  expect 125 '' 'fdsend: cannot listen on ./file: File exists (the file is no socket, and is left alone)'
  tool fdsend -l ./link
  expect 125 '' 'fdsend: cannot listen on ./link: Too many levels of symbolic links (a symlink is not followed; name the socket itself)'
  [[ $(<file) == text && -L link && ! -e elsewhere ]]
  holder ./s
  tool fdsend -l ./s
  expect 125 '' "fdsend: cannot listen on ./s: $IN_USE"
  stop holder KILL
  [[ -S s ]]
  holder -o file ./s
  tool fdrecv -c ./s
  expect 0 text ''
}

@test "--ack is success once fdrecv has taken them" {
  echo text >file
  receive
  tool fdsend --wait --ack ./s <file
  arrives text
}

@test "--ack fails when fdrecv refuses what came" {
  receive -- cat
  tool fdsend --wait --ack ./s 0 0 0 </dev/null
  expect_match 4 '' 'fdsend: cannot send to \./s: the receiver .*'
  finish recv
  expect 4 '' 'fdrecv: cannot receive on ./s: 3 descriptors came where 1 was expected'
}

@test "--ack gives up at the deadline" {
  start recv fdrecv ./s
  eventually test -S s
  kill -STOP "${pid[recv]}"
  tool fdsend --ack -t 60ms ./s </dev/null
  expect 124 '' 'fdsend: cannot send to ./s: the receiver did not confirm: timed out after 60ms'
}

@test "closed standard streams do no harm" {
  mkfifo fifo
  exec 7<>fifo
  echo line >&7
  receive --stdin -- head -n 1
  tool bash -c 'exec fdsend --wait ./s 7 <&- >&- 2>&-'
  arrives line
  exec 7>&-
  tool bash -c 'exec fdsend ./s 0 <&-'
  expect_match 3 '' 'fdsend: cannot connect to \./s: .*'
}
