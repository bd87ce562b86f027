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
  for option in --list '-t, --timeout' --connect-timeout --retry --wait '-r, --raw' --pretty \
    --compact --full --pipeline --ok --jsonrpc '-v, --verbose' '-q, --quiet' '-V, --version' \
    '-h, --help'; do
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

@test "what follows := must be JSON" {
  refuses 'params a:=x: not JSON after := (unknown word at column 1)' \
    rpc-call :1 echo a:=x
  refuses 'params a:=: not JSON after := (empty)' rpc-call :1 echo a:=
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
