#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154 # commands of methods are in single quotes; common.bash has the rest
# SPDX-License-Identifier: MIT

load common

MIXED='write only one JSON value, only KEY=TEXT and KEY:=JSON words, or only -'
NEITHER="neither JSON nor KEY=TEXT nor KEY:=JSON (a string is written '\"text\"')"

# The command line.

@test "--help describes the tool on stdout" {
  tool rpc-call --help
  expect_match 0 $'Call METHOD of the server at ADDR, and print the result\.\nUsage: rpc-call \\[options\\] ADDR METHOD .*--timeout T .*--pretty .*' ''
  tool rpc-call -h
  expect_match 0 'Call METHOD .*' ''
}

@test "every option of the documentation is in --help" {
  tool rpc-call --help
  local option
  for option in --list '-t, --timeout' --connect-timeout --retry --wait '-r, --raw' --pretty --compact \
    --full --pipeline --ok --jsonrpc '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 '.*' ''
}

@test "--version is one exact line" {
  tool rpc-call --version
  expect 0 'rpc-call (handoff) 0.1.0' ''
  tool rpc-call -V
  expect 0 'rpc-call (handoff) 0.1.0' ''
}

@test "an unknown option is a usage error" {
  refuses 'unknown option --nope (see rpc-call --help)' rpc-call --nope :1 ping
  refuses 'unknown option -x (see rpc-call --help)' rpc-call :1 ping -x
  refuses 'unknown option --nope=1 (see rpc-call --help)' rpc-call :1 --nope=1 ping
}

@test "a missing address or method is a usage error" {
  refuses 'no ADDR (see rpc-call --help)' rpc-call
  refuses 'no ADDR (see rpc-call --help)' rpc-call --list
  refuses 'no ADDR (see rpc-call --help)' rpc-call --
  refuses 'no METHOD (see rpc-call --help)' rpc-call :1
}

@test "--list takes no method" {
  refuses '--list takes no METHOD' rpc-call --list :1 ping
}

@test "an option without its value is a usage error" {
  refuses '--timeout needs a value (see rpc-call --help)' rpc-call :1 ping -t
  refuses '--connect-timeout needs a value (see rpc-call --help)' \
    rpc-call :1 ping --connect-timeout
}

@test "a duration that is none is a usage error" {
  local text
  for text in 5x -1s nan inf 1e99 s 1ss '1 s' 0x10; do
    refuses "--timeout $text: write a duration such as 250ms, 2s, 1m or 1h" rpc-call -t "$text" :1 ping
  done
  refuses "--connect-timeout '': write a duration such as 250ms, 2s, 1m or 1h" rpc-call --connect-timeout '' :1 ping
}

@test "an option's error names its long form" {
  local size='write a size such as 64KiB or 16MiB, at most 128MiB'
  refuses "--max-frame 1x: $size" rpc-call --max-frame 1x :1 ping
  refuses "--max-frame 1GiB: $size" rpc-call --max-frame 1GiB :1 ping
  refuses '--timeout is given more than once (see rpc-call --help)' rpc-call -t 1 -t 2 :1 ping
}

@test "a number out of range is a usage error that names the range" {
  refuses '--pipeline 0: write a number from 1 to 1000000' \
    rpc-call --pipeline 0 :1 echo -
  refuses '--pipeline x: write a number from 1 to 1000000' \
    rpc-call --pipeline x :1 echo -
}

@test "a --retry that is no number of retries is a usage error that a person can read" {
  tool rpc-call :1 ping --retry
  expect_match 2 '' 'rpc-call: --retry needs a value \(see rpc-call --help\)'
  refuses '--retry -1: write a number from 0 to 1000000' rpc-call --retry -1 :1 ping
  refuses '--retry x: write a number from 0 to 1000000' rpc-call --retry x :1 ping
}

@test "--pretty and --compact exclude each other" {
  refuses '--pretty does not go with --compact (see rpc-call --help)' rpc-call --pretty --compact :1 ping
}

@test "an address that is none is a usage error that says what is wrong" {
  refuses "nope: no port: write nope:PORT, or ./nope for a socket's file" rpc-call nope ping
  refuses "8080: write :8080 for the port, or ./8080 for a socket's file" rpc-call 8080 ping
  refuses "run/s: write ./run/s for a socket's file" rpc-call run/s ping
  refuses 'http://h:80/x: write h:80, without http://' rpc-call http://h:80/x ping
  refuses 'https://h: write h:PORT, without https://' rpc-call https://h ping
  refuses "'': write host:port, :port, /path, @name or fd:N" rpc-call '' ping
  refuses '[::1]: no port: write [::1]:PORT' rpc-call '[::1]' ping
  refuses '::1:80: an IPv6 address is written in brackets, [::1]:port' \
    rpc-call ::1:80 ping
  refuses ':65536: the port is a number from 0 to 65535' rpc-call :65536 ping
  refuses 'host:: the port is a number from 0 to 65535' rpc-call host: ping
  refuses "'': a socket's path has 1 to 107 bytes" rpc-call unix: ping
  refuses "'': an abstract name has 1 to 107 bytes" rpc-call @ ping
  refuses "fd:x: fd: is followed by a descriptor's number" rpc-call fd:x ping
  refuses 'exec:: exec: is followed by a command' rpc-call exec: ping
  local long
  printf -v long '/%0107d' 0
  refuses "$long: a socket's path has 1 to 107 bytes" rpc-call "$long" ping
}

# Params.

@test "without params they are null" {
  start_worker
  tool rpc-call ./w echo
  expect 0 null ''
}

@test "params can be any JSON" {
  start_worker
  local json
  for json in 5 -5 -0.5 1.10 12345678901234567890123 true null '""' '"key=text"' '[]' \
    '[1,[2,{"a":null}]]' '{"a":{"b":"c"}}' '"ü"'; do
    tool rpc-call ./w echo "$json"
    expect 0 "$json" ''
  done
}

@test "white space between JSON's tokens is not printed" {
  start_worker
  tool rpc-call ./w echo $' { "a" : [ 1 ,\n2 ] } '
  expect 0 '{"a":[1,2]}' ''
}

@test "params can be words, KEY=TEXT and KEY:=JSON" {
  start_worker
  tool rpc-call ./w echo name=Ada born:=1815 tags:='["x"]' empty= equation=a=b:=c
  expect 0 '{"name":"Ada","born":1815,"tags":["x"],"empty":"","equation":"a=b:=c"}' ''
  tool rpc-call ./w echo text=5 number:=5
  expect 0 '{"text":"5","number":5}' ''
  tool rpc-call ./w echo $'quote=say "hi"\n' 'a:b=c'
  expect 0 '{"quote":"say \"hi\"\n","a:b":"c"}' ''
}

@test "behind -- words that begin with a dash are params" {
  start_worker
  tool rpc-call ./w echo -- -5
  expect 0 -5 ''
  tool rpc-call ./w echo a=1 -- --b=2
  expect 0 '{"a":"1","--b":"2"}' ''
  tool rpc-call -- ./w echo --c=3
  expect 0 '{"--c":"3"}' ''
}

@test "words that are neither JSON nor pairs are a usage error" {
  refuses "params foo: $NEITHER" rpc-call :1 echo foo
  refuses "params =2: $NEITHER" rpc-call :1 echo =2
  refuses "params foo: $NEITHER" rpc-call :1 echo foo bar
  refuses "params 1e400: $NEITHER" rpc-call :1 echo 1e400
}

@test "one form of params excludes the others" {
  refuses "params 1: $MIXED" rpc-call :1 echo 1 2
  refuses "params 2: $MIXED" rpc-call :1 echo a=1 2
  refuses "params {\"a\":1}: $MIXED" rpc-call :1 echo '{"a":1}' b=2
  refuses "params \"a=1\": $MIXED" rpc-call :1 echo '"a=1"' b=2
  refuses "params -: $MIXED" rpc-call :1 echo - a=1
  refuses "params -: $MIXED" rpc-call :1 echo - 5
  refuses "params -: $MIXED" rpc-call :1 echo a=1 -
}

@test "a key that is given twice is a usage error" {
  refuses 'params a: the key is given twice' rpc-call :1 echo a=1 a=2
  refuses 'params a: the key is given twice' rpc-call :1 echo a:=1 b=1 a=1
}

@test "an empty word is neither JSON nor a pair" {
  refuses "params : $NEITHER" rpc-call :1 echo ''
}

@test "what begins as JSON and is none is told what is wrong with it" {
  refuses 'params {"a":: not valid JSON: misplaced or missing punctuation at column 6, the end' \
    rpc-call :1 echo '{"a":'
  refuses 'params [1,]: not valid JSON: misplaced or missing punctuation at column 4' rpc-call :1 echo '[1,]'
  refuses 'params "x: not valid JSON: a string is not closed at column 1' rpc-call :1 echo '"x'
  refuses 'params "\x": not valid JSON: invalid escape in a string at column 1' rpc-call :1 echo '"\x"'
  refuses 'params [] []: not valid JSON: something follows the value at column 4' rpc-call :1 echo '[] []'
}

@test "what stands behind := must be JSON" {
  refuses 'params a:=x: not JSON behind := (unknown word at column 1)' \
    rpc-call :1 echo a:=x
  refuses 'params a:=: not JSON behind := (empty)' rpc-call :1 echo a:=
}

# Output.

@test "-r prints a string as its text" {
  start_worker
  tool rpc-call -r ./w echo '"say \"hi\"\nü\u00fc"'
  expect 0 $'say "hi"\nüü' ''
  tool rpc-call --raw ./w echo '{ "a": "b" }'
  expect 0 '{"a":"b"}' ''
}

@test "--pretty indents, and empty brackets stay together" {
  start_worker
  tool rpc-call --pretty ./w echo '{"a":[1,{"b":[],"c":{}}],"d":"[,{"}'
  expect 0 '{
  "a": [
    1,
    {
      "b": [],
      "c": {}
    }
  ],
  "d": "[,{"
}' ''
}

@test "on a terminal the result is indented, unless --compact is given" {
  command -v script >/dev/null || skip 'there is no script(1)'
  start_worker
  tool script -qec "rpc-call ./w echo '[1]'" /dev/null
  expect 0 $'[\r\n  1\r\n]\r' ''
  tool script -qec "rpc-call --compact ./w echo '[1]'" /dev/null
  expect 0 $'[1]\r' ''
}

@test "away from a terminal the result is one line" {
  start_worker
  tool rpc-call ./w echo '[1]'
  expect 0 '[1]' ''
}

@test "--full prints the whole reply" {
  start_worker
  tool rpc-call --full ./w ping '[1]'
  expect 0 '{"out":"pong","result":[1]}' ''
  tool rpc-call --full --pretty ./w echo '"x"'
  expect 0 $'{\n  "out": "echo",\n  "result": "x"\n}' ''
}

@test "an error reply is a message on stderr and status 1" {
  start_worker
  tool rpc-call ./w nosuch
  expect 1 '' 'rpc-call: nosuch on ./w failed: no such method: nosuch'
}

@test "with --full an error reply is also on stdout" {
  start_worker
  tool rpc-call --full ./w nosuch
  expect 1 '{"out":"error","result":{"code":-32601,"message":"no such method: nosuch"}}' \
    'rpc-call: nosuch on ./w failed: no such method: nosuch'
}

@test "an error without a message is shown as it came" {
  start_server ./s 'reply:{"out":"error","result":["odd",1]}'
  tool rpc-call ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: ["odd",1]'
}

@test "--ok makes an error a success" {
  start_worker
  tool rpc-call --ok=-32601 --full ./w nosuch
  expect 0 '{"out":"error","result":{"code":-32601,"message":"no such method: nosuch"}}' ''
  tool rpc-call ./w nosuch --ok -1 --ok -32601
  expect 0 '' ''
  tool rpc-call ./w nosuch --ok -1
  expect 1 '' 'rpc-call: nosuch on ./w failed: no such method: nosuch'
}

@test "--ok takes one code, and leaves the address and the method alone" {
  start_worker
  tool rpc-call --ok -32601 ./w nosuch
  expect 0 '' ''
  tool rpc-call ./w --ok=-32601 nosuch
  expect 0 '' ''
}

@test "an --ok that is no number is a usage error" {
  refuses '--ok x: write a number from -2147483648 to 2147483647' rpc-call :1 ping --ok x
}

@test "--list prints the methods, one a line" {
  start_worker -m zebra=cat -m apple=cat
  tool rpc-call --list ./w
  expect 0 $'apple\necho\ninfo\nmethods\nping\nzebra' ''
}

@test "a server whose methods are no list is one that breaks the protocol" {
  start_server ./s 'reply:{"out":"methods","result":{}}'
  tool rpc-call --list ./s
  expect 4 '' 'rpc-call: methods on ./s failed: the result is no list of names'
}

@test "a server without the method that lists says so" {
  start_server ./s 'reply:{"out":"error","result":{"code":-32601,"message":"no"}}'
  tool rpc-call --list ./s
  expect 1 '' 'rpc-call: methods on ./s failed: no'
}

@test "a full disk is a failure of the tool" {
  start_worker
  local why='rpc-call: cannot write to stdout: No space left on device'
  tool bash -c 'rpc-call ./w echo 1 >/dev/full'
  expect 125 '' "$why"
  tool bash -c 'rpc-call --list ./w >/dev/full'
  expect 125 '' "$why"
  tool bash -c 'seq 100 | { rpc-call ./w echo - >/dev/full; }'
  expect 125 '' "$why"
}

@test "a full disk is a failure of --help and --version too" {
  tool bash -c 'rpc-call --help >/dev/full'
  expect 125 '' 'rpc-call: cannot write to stdout: No space left on device'
  tool bash -c 'rpc-call --version >/dev/full'
  expect 125 '' 'rpc-call: cannot write to stdout: No space left on device'
}

@test "a closed stdout is a failure of the tool" {
  start_worker
  tool bash -c 'rpc-call ./w echo 1 >&-'
  expect_match 125 '' 'rpc-call: cannot write to stdout: .*'
  tool bash -c 'rpc-call --help >&-'
  expect_match 125 '' 'rpc-call: cannot write to stdout: .*'
}

@test "with stdin and stdout closed nothing but the call goes to the server" {
  start_worker
  tool bash -c 'rpc-call ./w echo 1 <&- >&-'
  expect_match 125 '' 'rpc-call: cannot write to stdout: .*'
  tool bash -c 'rpc-call ./w echo 1 <&- >&- 2>&-'
  expect 125 '' ''
}

@test "a closed stdin or stderr does no harm" {
  start_worker
  tool bash -c 'rpc-call ./w echo 1 <&-'
  expect 0 1 ''
  tool bash -c 'rpc-call ./w echo 1 2>&-'
  expect 0 1 ''
  tool bash -c 'rpc-call ./w nosuch 2>&-'
  expect 1 '' ''
}

# Addresses.

@test "a port alone is on 127.0.0.1" {
  start worker rpc-worker -l 127.0.0.1:0
  said worker ready
  tool rpc-call ":$(port_of worker)" echo 1
  expect 0 1 ''
  tool rpc-call "localhost:$(port_of worker)" echo 1
  expect 0 1 ''
}

@test "an IPv6 address is written in brackets" {
  has_ipv6 || skip 'there is no IPv6'
  start worker rpc-worker -l '[::1]:0'
  said worker '^rpc-worker: ready, on \[::1\]:[0-9]+$'
  tool rpc-call "[::1]:$(port_of worker)" echo 1
  expect 0 1 ''
}

@test "a named socket is a path, absolute or not, with or without unix:" {
  start_worker
  local address
  for address in ./w "$PWD/w" unix:w "unix:$PWD/w"; do
    tool rpc-call "$address" echo 1
    expect 0 1 ''
  done
}

@test "an abstract socket is written with @" {
  local name="@handoff-test-$$-$RANDOM"
  start worker rpc-worker -l "$name"
  said worker "^rpc-worker: ready, on $name$"
  tool rpc-call "$name" echo 1
  expect 0 1 ''
}

@test "exec: speaks to a command's stdin and stdout" {
  tool rpc-call 'exec:rpc-worker --stdio' echo 1
  expect 0 1 ''
  tool rpc-call 'exec:echo hello >&2; exec rpc-worker --stdio' echo 1
  expect 0 1 'hello'
}

@test "exec: also speaks to a pipeline" {
  tool rpc-call 'exec:cat | rpc-worker --stdio | cat' echo '"through two pipes"'
  expect 0 '"through two pipes"' ''
}

@test "an exec: command that says nothing broke the protocol" {
  tool rpc-call exec:false echo 1
  expect_match 4 '' 'rpc-call: cannot call exec:false: .*'
}

@test "fd:N is a connection that was inherited" {
  start worker rpc-worker -l 127.0.0.1:0
  said worker ready
  tool bash -c "rpc-call fd:7 echo 1 7<>/dev/tcp/127.0.0.1/$(port_of worker)"
  expect 0 1 ''
}

@test "fd:N that is not open, or one way only, is a usage error" {
  local number
  for number in 3 4 5 6 7 9; do
    tool bash -c "rpc-call fd:$number echo 1 $number>&-"
    expect 2 '' "rpc-call: fd:$number: the descriptor is not open"
  done
  local why='the descriptor is not open for reading and writing'
  tool bash -c 'rpc-call fd:7 echo 1 7</dev/null'
  expect 2 '' "rpc-call: fd:7: $why"
  tool bash -c 'rpc-call fd:7 echo 1 7>/dev/null'
  expect 2 '' "rpc-call: fd:7: $why"
  tool bash -c 'rpc-call fd:0 echo 1 <&-'
  expect 2 '' "rpc-call: fd:0: $why"
}

# Servers that are not there, and those that come later.

@test "an address where nobody listens can't be reached" {
  tool rpc-call ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none: No such file or directory'
  start_worker
  stop worker KILL
  tool rpc-call ./w ping
  expect 3 '' 'rpc-call: cannot connect to ./w: Connection refused'
}

@test "a TCP port where nobody listens can't be reached" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 silent
  said server '^bound'
  tool rpc-call ":$(port_of server)" ping
  expect 3 '' "rpc-call: cannot connect to 127.0.0.1:$(port_of server): Connection refused"
}

@test "after so many retries an address that can't be reached still can't" {
  tool rpc-call --retry 2 ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none: No such file or directory'
}

@test "--retry reaches a server whose port opens later" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 \
    'reply:{"out":"echo","result":"late"}'
  said server '^bound'
  start call rpc-call --retry 1000 ":$(port_of server)" echo
  kill -USR1 "${pid[server]}"
  finish call
  expect 0 '"late"' ''
}

@test "--retry calls again when the server was busy" {
  local busy='reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  local stopping='reply:{"out":"error","result":{"code":-32005,"message":"stopping"}}'
  start_server ./s "$busy" "$stopping" 'reply:{"out":"echo","result":"served"}'
  tool rpc-call --retry 2 ./s echo
  expect 0 '"served"' ''
}

@test "a server that stays busy is an error in the end" {
  start_server ./s 'reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  tool rpc-call --retry 2 ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: busy'
  tool rpc-call ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: busy'
}

@test "--retry can't connect a descriptor again" {
  start_server 127.0.0.1:0 'reply:{"out":"error","result":{"code":-32003,"message":"busy"}}'
  tool bash -c "rpc-call --retry 2 fd:7 echo 7<>/dev/tcp/127.0.0.1/$(port_of server)"
  expect 1 '' 'rpc-call: echo on fd:7 failed: busy'
}

@test "--retry does not repeat a call that was run" {
  start_server ./s 'reply:{"out":"error","result":{"code":-32001,"message":"ran"}}' \
    'reply:{"out":"echo","result":"twice"}'
  tool rpc-call --retry 5 ./s echo
  expect 1 '' 'rpc-call: echo on ./s failed: ran'
}

@test "--wait waits until the server is up" {
  start call rpc-call --wait ./w echo 1
  start_worker
  finish call
  expect 0 1 ''
}

@test "--wait ends with the timeout" {
  tool rpc-call --wait -t 200ms ./none ping
  expect 3 '' 'rpc-call: cannot connect to ./none within 200ms: No such file or directory'
}

@test "at the deadline the reason is why the last attempt failed, over TCP too" {
  start server python3 "$SUPPORT/scripted_server.py" --late 127.0.0.1:0 silent
  said server '^bound'
  local option
  for option in --wait --retry=1000; do
    tool rpc-call "$option" -t 200ms ":$(port_of server)" ping
    expect 3 '' \
      "rpc-call: cannot connect to 127.0.0.1:$(port_of server) within 200ms: Connection refused"
  done
}

@test "an attempt that the deadline cuts short does not hide why those before it failed" {
  start call rpc-call --wait -t 2s ./s ping
  start server python3 "$SUPPORT/scripted_server.py" ./s deaf
  finish call
  expect_match 3 '' \
    'rpc-call: cannot connect to \./s within 2s: (No such file or directory|Connection refused)'
}

@test "-v says what is waited for, each new reason once, and that there is a connection" {
  start call rpc-call -v --wait ./s echo
  said call '^rpc-call: cannot connect to \./s: No such file or directory \(waiting\)$'
  start server python3 "$SUPPORT/scripted_server.py" --late ./s 'reply:{"out":"echo","result":1}'
  said call '^rpc-call: cannot connect to \./s: Connection refused \(waiting\)$'
  kill -USR1 "${pid[server]}"
  finish call
  expect 0 1 'rpc-call: cannot connect to ./s: No such file or directory (waiting)
rpc-call: cannot connect to ./s: Connection refused (waiting)
rpc-call: connected to ./s'
}

@test "-v says that there is a connection, in line mode too" {
  start_worker
  tool rpc-call -v ./w echo 1
  expect 0 1 'rpc-call: connected to ./w'
  tool rpc-call -v ./w echo - <<<$'1\n2'
  expect 0 $'1\n2' 'rpc-call: connected to ./w'
}

# Servers that misbehave.

@test "a server that never answers is a timeout" {
  start_server 127.0.0.1:0 silent
  tool rpc-call -t 200ms ":$(port_of server)" echo
  expect 124 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): timed out after 200ms"
}

@test "a server that never accepts is a timeout of connecting" {
  start_server ./s deaf
  tool rpc-call --connect-timeout 200ms ./s echo
  expect 124 '' \
    "rpc-call: cannot connect to ./s within 200ms: the listener's backlog is full"
}

@test "half a reply is a timeout" {
  start_server ./s bytes:0a0000007b22
  tool rpc-call -t 200ms ./s echo
  expect 124 '' 'rpc-call: cannot call ./s: timed out after 200ms'
}

@test "a connection that is closed before the reply broke the protocol" {
  start_server 127.0.0.1:0 close
  tool rpc-call ":$(port_of server)" echo
  expect 4 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): the server closed the connection before it replied"
}

@test "a connection that is reset before the reply broke the protocol" {
  start_server 127.0.0.1:0 reset
  tool rpc-call ":$(port_of server)" echo
  expect 4 '' "rpc-call: cannot call 127.0.0.1:$(port_of server): Connection reset by peer"
}

@test "a reply that is no JSON broke the protocol" {
  start_server ./s 'reply:nonsense' 'reply:' $'reply:{"out":"echo","result":"\x01"}'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: unknown word at column 1'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: empty'
  tool rpc-call ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: the reply is invalid JSON: a control character in a string at column 25'
}

@test "JSON that is no reply broke the protocol" {
  local bodies=('[1]' '5' '{}' '{"out":"echo"}' '{"result":1}' '{"out":1,"result":1}' \
    '{"out":"echo","out":"echo","result":1}')
  start_server ./s "${bodies[@]/#/reply:}"
  for _ in "${bodies[@]}"; do
    tool rpc-call ./s echo
    expect 4 '' "rpc-call: cannot call ./s: the reply is not an object with one 'out' and one 'result'"
  done
}

@test "a reply over the limit broke the protocol" {
  start_server ./s bytes:ffffffff 'reply:{"out":"echo","result":"four and more bytes"}'
  tool rpc-call ./s echo
  expect_match 4 '' 'rpc-call: cannot call \./s: a reply of 4294967295 bytes exceeds the limit of 1048576'
  tool rpc-call --max-frame 20 ./s echo
  expect 4 '' 'rpc-call: cannot call ./s: a reply of 45 bytes exceeds the limit of 20'
  tool rpc-call --max-frame 1kb ./s echo
  expect 0 '"four and more bytes"' ''
}

# Lines.

@test "with - each line of stdin is a call, and the results come in order" {
  start_worker
  seq 1000 >numbers
  tool rpc-call ./w echo - <numbers
  expect 0 "$(<numbers)" ''
}

@test "the order stays when later calls are faster" {
  mkfifo third
  start_worker -m 'late=read n; [ $n != 1 ] || cat third; [ $n != 3 ] || : >third; echo $n'
  tool rpc-call ./w late - <<<$'1\n2\n3'
  expect 0 $'1\n2\n3' ''
}

@test "lines are sent no further ahead than --pipeline" {
  start_worker
  seq 1000 >numbers
  tool rpc-call --pipeline 1 ./w echo - <numbers
  expect 0 "$(<numbers)" ''
  tool rpc-call --pipeline 1000000 ./w echo - <numbers
  expect 0 "$(<numbers)" ''
}

@test "long lines are calls too" {
  start_worker
  printf '"%0300000d"\n' 1 2 3 >lines
  tool bash -c 'rpc-call ./w echo - <lines | cmp - lines'
  expect 0 '' ''
}

@test "the last line needs no newline" {
  start_worker
  tool rpc-call ./w echo - < <(printf '1\n2')
  expect 0 $'1\n2' ''
}

@test "no input is no call" {
  start_worker
  tool rpc-call ./w echo - </dev/null
  expect 0 '' ''
}

@test "behind -- a dash still stands for the lines of stdin" {
  start_worker
  tool rpc-call -- ./w echo - <<<$'1\n2'
  expect 0 $'1\n2' ''
}

@test "a result is printed as soon as it is there" {
  start_worker
  start_lines ./w
  line 1
  eventually lines_match lines.out '^1$' 1
  line 2
  eventually lines_match lines.out '^2$' 1
  end_lines
  finish lines
  expect 0 $'1\n2' ''
}

@test "a line that is no JSON is null on stdout and a message with its number" {
  start_worker
  tool rpc-call ./w echo - <<<$'1\nx\n\n4'
  expect 1 $'1\nnull\nnull\n4' \
    'rpc-call: line 2 of stdin: not JSON: unknown word at column 1
rpc-call: line 3 of stdin: not JSON: empty'
}

@test "an error reply in the middle is null on stdout and a message with its number" {
  start_worker -m 'odd=read n; test $n != 2 || { echo two is bad >&2; exit 7; }; echo $n'
  tool rpc-call ./w odd - <<<$'1\n2\n3'
  expect 1 $'1\nnull\n3' 'rpc-call: odd on ./w failed for line 2: exit status 7: two is bad'
  tool rpc-call ./w odd - --ok -32001 <<<$'1\n2\n3'
  expect 0 $'1\nnull\n3' ''
  tool rpc-call --full ./w odd - <<<$'1\n2\n3'
  expect 1 '{"out":"odd","result":1}
{"out":"error","result":{"code":-32001,"message":"exit status 7","data":{"status":7,"stderr":"two is bad"}}}
{"out":"odd","result":3}' 'rpc-call: odd on ./w failed for line 2: exit status 7: two is bad'
}

@test "lines keep to --raw and --pretty" {
  start_worker
  tool rpc-call -r ./w echo - <<<$'"a"\n{"b":[1]}'
  expect 0 $'a\n{"b":[1]}' ''
  tool rpc-call --pretty ./w echo - <<<'{"b":[1]}'
  expect 0 $'{\n  "b": [\n    1\n  ]\n}' ''
}

@test "on a terminal the results of lines are one line each" {
  command -v script >/dev/null || skip 'there is no script(1)'
  start_worker
  echo '[1]' >input
  tool script -qec 'rpc-call ./w echo - <input' /dev/null
  expect 0 $'[1]\r' ''
}

@test "what was answered before the connection was lost is printed" {
  start_server ./s 'reply:{"out":"echo","result":1}' 'reply:{"out":"echo","result":2}' close
  tool rpc-call ./s echo - <<<$'1\n2\n3\n4'
  expect_match 4 $'1\n2' 'rpc-call: cannot call \./s: (the server closed the connection before it replied|Connection reset by peer|Broken pipe)'
}

@test "each line has the whole timeout" {
  start_server ./s 'reply:{"out":"echo","result":1}' silent
  tool rpc-call -t 300ms ./s echo - <<<$'1\n2'
  expect 124 1 'rpc-call: cannot call ./s: timed out after 300ms'
}

@test "a reader that leaves ends the tool as it ends any other" {
  start_worker
  seq 100000 >numbers
  tool bash -c 'rpc-call ./w echo - <numbers | head -n 1; echo "${PIPESTATUS[0]}"'
  expect 0 $'1\n141' ''
}

@test "a stdin that can't be read is a failure of the tool" {
  start_worker
  tool rpc-call ./w echo - <.
  expect 125 '' 'rpc-call: cannot read stdin: Is a directory'
  tool bash -c 'rpc-call ./w echo - <&-'
  expect 125 '' 'rpc-call: cannot read stdin: Bad file descriptor (it is closed)'
}

# JSON-RPC.

@test "--jsonrpc calls with a request of JSON-RPC" {
  tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo '[1, "two"]'
  expect 0 '[1,"two"]' ''
  cmp request <(frame '{"jsonrpc":"2.0","method":"echo","params":[1, "two"],"id":1}')
  tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo name=Ada born:=1815
  expect 0 '{"name":"Ada","born":1815}' ''
  cmp request <(frame '{"jsonrpc":"2.0","method":"echo","params":{"name":"Ada","born":1815},"id":1}')
}

@test "--jsonrpc without params, or with null, sends none" {
  local params
  for params in '' null; do
    # shellcheck disable=SC2086 # a word or none
    tool rpc-call --jsonrpc 'exec:tee request | rpc-worker --stdio' echo $params
    expect 0 null ''
    cmp request <(frame '{"jsonrpc":"2.0","method":"echo","id":1}')
  done
}

@test "--jsonrpc refuses params that are scalars" {
  local json
  for json in 5 -0.5 true false '""' '"[]"' '"null"'; do
    refuses "params $json: JSON-RPC has only objects and arrays for params" \
      rpc-call --jsonrpc :1 echo "$json"
  done
  refuses "params foo: $NEITHER" rpc-call --jsonrpc :1 echo foo
}

@test "--jsonrpc takes white space around params" {
  start_worker
  local space
  for space in ' ' $'\t' $'\n' $'\r\n'; do
    tool rpc-call --jsonrpc ./w echo "${space}[1]$space"
    expect 0 '[1]' ''
    tool rpc-call --jsonrpc ./w echo "${space}null$space"
    expect 0 null ''
  done
}

@test "--jsonrpc keeps to --raw and --pretty" {
  start_worker --text -m 'text=echo hello'
  tool rpc-call --jsonrpc ./w text
  expect 0 '"hello"' ''
  tool rpc-call --jsonrpc --raw ./w text
  expect 0 hello ''
  tool rpc-call --jsonrpc --pretty ./w echo '[1]'
  expect 0 $'[\n  1\n]' ''
}

@test "with --jsonrpc an error is a message on stderr and status 1" {
  start_worker -m 'fail=echo first >&2; echo second >&2; exit 3'
  tool rpc-call --jsonrpc ./w nosuch
  expect 1 '' 'rpc-call: nosuch on ./w failed: no such method: nosuch'
  tool rpc-call --jsonrpc ./w fail
  expect 1 '' 'rpc-call: fail on ./w failed: exit status 3: second'
  tool rpc-call --jsonrpc ./w nosuch --ok -32601
  expect 0 '' ''
}

@test "--jsonrpc --full prints the whole reply" {
  start_worker
  tool rpc-call --jsonrpc --full ./w ping '[1]'
  expect 0 '{"jsonrpc":"2.0","result":[1],"id":1}' ''
  tool rpc-call --jsonrpc --full ./w nosuch
  expect 1 '{"jsonrpc":"2.0","error":{"code":-32601,"message":"no such method: nosuch"},"id":1}' \
    'rpc-call: nosuch on ./w failed: no such method: nosuch'
}

@test "--list --jsonrpc prints the methods, one a line" {
  start_worker -m zebra=cat
  tool rpc-call --list --jsonrpc ./w
  expect 0 $'echo\ninfo\nmethods\nping\nzebra' ''
  start_server ./s 'reply:{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":1}'
  tool rpc-call --jsonrpc --list ./s
  expect 1 '' 'rpc-call: methods on ./s failed: no'
}

@test "an error of JSON-RPC that names no call is the answer to the next" {
  local error='{"jsonrpc":"2.0","error":{"code":-32600,"message":"what?"},"id":null}'
  start_server ./s "reply:$error" "reply:$error" 'reply:{"jsonrpc":"2.0","result":2,"id":2}'
  tool rpc-call --jsonrpc --full ./s echo
  expect 1 "$error" 'rpc-call: echo on ./s failed: what?'
  tool rpc-call --jsonrpc ./s echo - <<<$'[1]\n[2]'
  expect 1 $'null\n2' 'rpc-call: echo on ./s failed for line 1: what?'
}

@test "--jsonrpc --retry calls again when the server was busy" {
  start_server ./s 'reply:{"jsonrpc":"2.0","error":{"code":-32003,"message":"busy"},"id":1}' \
    'reply:{"jsonrpc":"2.0","result":"served","id":1}'
  tool rpc-call --jsonrpc --retry 1 ./s echo
  expect 0 '"served"' ''
}

@test "JSON that is no reply of JSON-RPC broke the protocol" {
  local bodies=('{"jsonrpc":"2.0","id":1}' '{"jsonrpc":"2.0","result":1,"error":{},"id":1}' \
    '{"jsonrpc":"2.0","result":1,"result":1,"id":1}' '{"jsonrpc":"2.0","method":"echo","id":1}')
  start_server ./s "${bodies[@]/#/reply:}" 'reply:[{"jsonrpc":"2.0","result":1,"id":1}]'
  for _ in "${bodies[@]}"; do
    tool rpc-call --jsonrpc ./s echo
    expect 4 '' "rpc-call: cannot call ./s: the reply does not have one of 'result' and 'error'"
  done
  tool rpc-call --jsonrpc ./s echo
  expect 4 '' "rpc-call: cannot call ./s: the reply is not an object with one 'out' and one 'result'"
}

@test "--jsonrpc with - calls with each line, and the results come in their order" {
  start_worker
  seq 1000 | sed 's/.*/[&]/' >lines
  tool rpc-call --jsonrpc ./w echo - <lines
  expect 0 "$(<lines)" ''
  tool rpc-call --jsonrpc --pipeline 1 ./w echo - <lines
  expect 0 "$(<lines)" ''
}

@test "--jsonrpc with - keeps replies that come too early" {
  mkfifo third
  start_worker -m 'late=read n; [ $n != "[1]" ] || cat third; [ $n != "[3]" ] || : >third; echo $n'
  tool rpc-call --jsonrpc ./w late - <<<$'[1]\n[2]\n[3]'
  expect 0 $'[1]\n[2]\n[3]' ''
}

@test "--jsonrpc with - also keeps errors that come too early, and whole replies" {
  local third='{"jsonrpc":"2.0","result":"c","id":3}' first='{"jsonrpc":"2.0","result":"a","id":1}'
  local second='{"jsonrpc":"2.0","error":{"code":-1,"message":"b"},"id":2}'
  local together
  together=bytes:$(for reply in "$third" "$second" "$first"; do frame "$reply"; done |
    od -An -v -tx1 | tr -d ' \n')
  start_server ./s silent silent "$together" silent silent "$together"
  tool rpc-call --jsonrpc ./s echo - <<<$'[1]\n[2]\n[3]'
  expect 1 $'"a"\nnull\n"c"' 'rpc-call: echo on ./s failed for line 2: b'
  tool rpc-call --jsonrpc --full ./s echo - --ok -1 <<<$'[1]\n[2]\n[3]'
  expect 0 "$first"$'\n'"$second"$'\n'"$third" ''
}

@test "--jsonrpc with - tells which lines are no params, and which got an error" {
  start_worker -m 'odd=read n; test "$n" != "[4]" || exit 7; echo "$n"'
  tool rpc-call --jsonrpc ./w odd - <<<$'[1]\n2\nx\n[4]\n{"a":5}\nnull\n"s"\n [8]'
  expect 1 $'[1]\nnull\nnull\nnull\n{"a":5}\nnull\nnull\n[8]' \
    'rpc-call: line 2 of stdin: JSON-RPC has only objects and arrays for params
rpc-call: line 3 of stdin: not JSON: unknown word at column 1
rpc-call: odd on ./w failed for line 4: exit status 7
rpc-call: line 7 of stdin: JSON-RPC has only objects and arrays for params'
  tool rpc-call --jsonrpc --full ./w odd - <<<$'[1]\n2\n[4]'
  expect 1 '{"jsonrpc":"2.0","result":[1],"id":1}
null
{"jsonrpc":"2.0","error":{"code":-32001,"message":"exit status 7","data":{"status":7,"stderr":""}},"id":3}' \
    'rpc-call: line 2 of stdin: JSON-RPC has only objects and arrays for params
rpc-call: odd on ./w failed for line 3: exit status 7'
}

# The end.

@test "TERM ends a call that waits, as it ends any other program" {
  start_server ./s silent
  start call rpc-call --wait ./s echo
  # Until it is executed, the signal goes to a shell of the test.
  eventually grep -qx rpc-call "/proc/${pid[call]}/comm"
  stop call
  expect 143 '' ''
}
