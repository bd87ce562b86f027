#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # Python in single quotes; each test is a subshell
# SPDX-License-Identifier: MIT

load common

# serve [OPTION...]: starts a test peer, and waits until it has said its address: $address.
serve() {
  local name=server${#pid[@]}
  start "$name" python3 "$SUPPORT/article_server.py" "$@"
  eventually test -s "$name.out"
  address=$(<"$name.out")
}

# An address where nobody listens.
closed_address() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print("127.0.0.1:%d" % s.getsockname()[1])'
}

# How many lines of stdout match.
count_lines() {
  grep -cE -- "$1" <<<"$output" || true
}

@test "lines and footer read as ping's" {
  serve
  tool rpc-ping -c 3 -i 0.01 "$address"
  [ "$status" -eq 0 ]
  [ "${#lines[@]}" -eq 8 ]  # the empty line does not count
  [ "${lines[0]}" = "PING $address: 56 bytes of params" ]
  for seq in 1 2 3; do
    [[ "${lines[seq]}" =~ ^"pong from $address: seq=$seq time="[0-9.]+" ms"$ ]]
  done
  [[ "$output" == *$'\n\n'"--- $address ping statistics ---"$'\n'* ]]
  [ "$(count_lines '^3 sent, 3 received, 0% loss, time [0-9]+ms$')" -eq 1 ]
  [ "$(count_lines '^rtt min/avg/max/mdev = ([0-9]+\.[0-9]{3}/){3}[0-9]+\.[0-9]{3} ms$')" -eq 1 ]
  [ "$(count_lines '^rtt p50/p90/p99/p99\.9 = ([0-9]+\.[0-9]{3}/){3}[0-9]+\.[0-9]{3} ms$')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "-q prints the first line and the footer only" {
  serve
  tool rpc-ping -q -c 2 -i 0.01 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^pong')" -eq 0 ]
  [ "$(count_lines '^PING')" -eq 1 ]
  [ "$(count_lines '^2 sent, 2 received')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "-D prints the time before each line" {
  serve
  tool rpc-ping -D -c 1 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^\[[0-9]{10}\.[0-9]{6}\] pong from ')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "-J prints a JSON object for each probe, and a summary" {
  serve --error
  errors=$address
  serve
  tool rpc-ping -J -c 2 -i 0.01 "$address" "$errors"
  [ "$status" -eq 1 ]
  [[ "$stderr" == *"rpc-ping: seq=1 to $errors failed: no such method (code -32601)"* ]]
  python3 -c '
import json, sys
good, bad, lines = sys.argv[1], sys.argv[2], [json.loads(l) for l in sys.stdin]
assert len(lines) == 6, lines
pongs = [l for l in lines if l["type"] == "pong"]
assert [(p["address"], p["seq"]) for p in pongs] == [(good, 1), (good, 2)], pongs
assert all(p["rtt_ms"] > 0 and p["timestamp"] > 1e9 for p in pongs)
lost = [l for l in lines if l["type"] == "lost"]
assert [(p["address"], p["seq"]) for p in lost] == [(bad, 1), (bad, 2)], lost
assert all("no such method" in p["reason"] for p in lost)
one, other = lines[-2:]
assert one["type"] == other["type"] == "summary"
assert (one["sent"], one["received"], one["loss_percent"]) == (2, 2, 0), one
assert one["rtt_ms"]["min"] <= one["rtt_ms"]["p50"] <= one["rtt_ms"]["p99.9"] <= one["rtt_ms"]["max"]
assert (other["received"], other["errors"], other["rtt_ms"]) == (0, 2, None), other
' "$address" "$errors" <<<"$output"
}

@test "several addresses are pinged together, with a footer each" {
  serve
  first=$address
  serve
  tool rpc-ping -c 2 -i 0.01 "$first" -- "$address"
  [ "$status" -eq 0 ]
  for one in "$first" "$address"; do
    [ "$(count_lines "^pong from $one: seq=[12] ")" -eq 2 ]
    [ "$(count_lines "^--- $one ping statistics ---$")" -eq 1 ]
  done
  [ "$(count_lines '^2 sent, 2 received, 0% loss')" -eq 2 ]
  [ -z "$stderr" ]
}

@test "a host name is shown with its address" {
  serve
  tool rpc-ping -c 1 "localhost:${address##*:}"
  [ "$status" -eq 0 ]
  [ "${lines[0]}" = "PING localhost:${address##*:} ($address): 56 bytes of params" ]
  [ -z "$stderr" ]
}

@test "a Unix socket and a command are addresses too" {
  serve --unix ./server.sock
  tool rpc-ping -c 2 -i 0.01 unix:./server.sock
  [ "$status" -eq 0 ]
  [ "$(count_lines '^2 sent, 2 received')" -eq 1 ]
  [ -z "$stderr" ]
  tool rpc-ping -c 2 -i 0.01 "exec:exec python3 '$SUPPORT/article_server.py' --stdio"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^2 sent, 2 received')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "every pace counts every probe" {
  serve
  for pace in -A -f "-i 0" "--rate 1000" "-f -P 8 -C 2" "-A --reconnect" "--rate 500 --reconnect" \
    "-f --reconnect -C 4"; do
    # shellcheck disable=SC2086
    tool rpc-ping -c 40 $pace "$address"
    [ "$status" -eq 0 ]
    [ "$(count_lines '^40 sent, 40 received, 0% loss')" -eq 1 ]
    [ -z "$stderr" ]
  done
}

@test "-f and -A show how fast probes followed each other" {
  serve
  tool rpc-ping -f -c 10 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^rtt min/avg/max/mdev = [0-9./]+ ms, ipg/ewma [0-9]+\.[0-9]{3}/[0-9]+\.[0-9]{3} ms$')" -eq 1 ]
  [ "$(count_lines '^pong')" -eq 0 ]
  [ -z "$stderr" ]
}

@test "-f prints dots on a terminal, and takes them back" {
  serve
  tool python3 -c '
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("rpc-ping", ["rpc-ping", "-f", "-c", "5", sys.argv[1]])
text = b""
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    text += data
sys.stdout.write(text.decode().replace("\b", "<").replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
' "$address"
  [ "$status" -eq 0 ]
  # A pong that is late on a busy machine comes after the next dot.
  [ "${lines[1]//[^.]/}" = "....." ]
  [ "${lines[1]//./}" = "< << << << << <" ]
  [[ "${lines[2]}" == "--- $address ping statistics ---" ]]
  [ -z "$stderr" ]
}

@test "params have the size that -s says" {
  serve
  for size in 0 1 15 16 100000 1048512; do
    tool rpc-ping -s "$size" -A -c 12 "$address"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "PING $address: $size bytes of params" ]
    [ "$(count_lines '^12 sent, 12 received')" -eq 1 ]
    [ -z "$stderr" ]
  done
}

@test "nobody listens: status 3 and one line" {
  address=$(closed_address)
  tool rpc-ping -c 1 "$address"
  [ "$status" -eq 3 ]
  [ -z "$output" ]
  [ "$stderr" = "rpc-ping: cannot connect to $address: Connection refused" ]
}

@test "with -J an address that can't be reached has a summary too" {
  summary_of() {
    printf '{"type":"summary","address":"%s","sent":0,"received":0,"duplicates":0,"errors":0,"late":0,"loss_percent":null,"duration_ms":0.000,"rtt_ms":null}' "$1"
  }
  address=$(closed_address)
  tool rpc-ping -J -c 1 "$address"
  expect 3 "$(summary_of "$address")" "rpc-ping: cannot connect to $address: Connection refused"
  tool rpc-ping -J -q -x -w 0.05 "$address" ./none.sock
  expect 3 "$(summary_of "$address"; echo; summary_of ./none.sock)" \
    "rpc-ping: cannot connect to $address within 50ms: Connection refused
rpc-ping: cannot connect to ./none.sock within 50ms: No such file or directory"
}

@test "of several addresses, one where nobody listens makes status 3, and the others are pinged" {
  serve
  nobody=$(closed_address)
  tool rpc-ping -c 2 -i 0.01 "$nobody" "$address"
  [ "$status" -eq 3 ]
  [ "$(count_lines "^pong from $address: ")" -eq 2 ]
  [ "$(count_lines '^2 sent, 0 received, 100% loss')" -eq 1 ]
  line="rpc-ping: cannot connect to $nobody: Connection refused"
  [ "$stderr" = "$line"$'\n'"$line" ]
}

@test "a server that is gone later: a line for each probe, and the summary" {
  serve --stop-after 2
  tool rpc-ping -c 4 -i 0.2 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^4 sent, 2 received, 50% loss')" -eq 1 ]
  line="rpc-ping: cannot connect to $address: Connection refused"
  [ "$stderr" = "$line"$'\n'"$line" ]
}

@test "a server that says nothing: status 1" {
  serve --silent
  tool rpc-ping -c 2 -i 0.01 -W 50ms "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^2 sent, 0 received, 100% loss, time [0-9]+ms$')" -eq 1 ]
  [ "$(count_lines '^rtt')" -eq 0 ]
  [ -z "$stderr" ]
  tool rpc-ping -v -c 1 -W 50ms "$address"
  [ "$status" -eq 1 ]
  [ "$stderr" = "rpc-ping: seq=1 to $address is lost: no reply within 50ms" ]
}

@test "a late reply is lost, and not taken for that of the next probe" {
  serve --delay-first 300
  tool rpc-ping -v -c 4 -i 0.2 -W 200ms "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^pong from .*: seq=1 ')" -eq 0 ]
  [ "$(count_lines '^pong from .*: seq=4 ')" -eq 1 ]
  [[ "$stderr" == *"seq=1 to "*" is lost: no reply within "* ]]
  [[ "$stderr" =~ "seq=1 to $address is answered late: after "[0-9.]+" ms" ]]
}

@test "error replies and wrong results are errors: a line each, status 1" {
  serve --error
  tool rpc-ping -c 2 -i 0.01 "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^2 sent, 0 received, \+2 errors, 100% loss')" -eq 1 ]
  [ "${stderr_lines[0]}" = "rpc-ping: seq=1 to $address failed: no such method (code -32601)" ]
  [ "${stderr_lines[1]}" = "rpc-ping: seq=2 to $address failed: no such method (code -32601)" ]
  tool rpc-ping -q -c 2 -i 0.01 "$address"
  [ "$status" -eq 1 ]
  [ "$stderr" = "rpc-ping: cannot ping $address: no such method (code -32601)" ]
  serve --wrong
  tool rpc-ping -c 1 "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^1 sent, 0 received, \+1 errors, 100% loss')" -eq 1 ]
  [ "$stderr" = "rpc-ping: seq=1 to $address failed: the result is not the params that were sent" ]
}

@test "what is no reply breaks the protocol: status 4" {
  serve --garbage
  tool rpc-ping "$address"
  [ "$status" -eq 4 ]
  [ "$(count_lines '^1 sent, 0 received, 100% loss')" -eq 1 ]
  [ "$stderr" = "rpc-ping: cannot call $address: a reply of 1347703880 bytes exceeds the limit of 1048576" ]
}

@test "a reply that is to no probe breaks the protocol: status 4" {
  local bodies
  bodies=$(for body in '{"out":"pong","result":""}' '{"out":"x","result":1}'; do
    frame "$body"
  done | od -An -v -tx1 | tr -d ' \n')
  start_server ./s "bytes:$bodies"
  tool rpc-ping -s 0 ./s
  [ "$status" -eq 4 ]
  [ "$(count_lines '^1 sent, 1 received, 0% loss')" -eq 1 ]
  [ "$stderr" = "rpc-ping: cannot ping ./s: it sent a reply that nobody asked for" ]
}

@test "pongs that come twice are marked and counted, as in ping" {
  serve --unasked
  tool rpc-ping -c 3 -i 0.01 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^pong from .*: seq=[1-3] time=[0-9.]+ ms$')" -eq 3 ]
  [ "$(count_lines '^pong from .*: seq=[1-3] time=[0-9.]+ ms \(DUP!\)$')" -ge 2 ]
  [ "$(count_lines '^3 sent, 3 received, \+[23] duplicates, 0% loss')" -eq 1 ]
  [ "$stderr" = "" ]
  tool rpc-ping -J -c 3 -i 0.01 "$address"
  [ "$(jq -s 'map(select(.type == "pong")) | length' <<<"$output")" -eq 3 ]
  [ "$(jq -s '(map(select(.type == "duplicate")) | length) == .[-1].duplicates' <<<"$output")" = true ]
}

@test "a connection that ended is opened again" {
  serve --close-after 1
  tool rpc-ping -c 3 -i 0.2 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^3 sent, 3 received, 0% loss')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "probes on a lost connection are lost" {
  serve --hang-up
  tool rpc-ping -c 2 -i 0.05 "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^2 sent, 0 received, 100% loss')" -eq 1 ]
  [ "${#stderr_lines[@]}" -eq 2 ]
  [[ "${stderr_lines[0]}" == "rpc-ping: cannot call $address: "* ]]
}

@test "-w ends the run; fewer replies than -c by then are status 1" {
  serve
  tool rpc-ping -i 0.02 -w 0.1 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^pong')" -ge 2 ]
  [ -z "$stderr" ]
  tool rpc-ping -c 2 -i 10 -w 0.1 "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^1 sent, 1 received, 0% loss')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "-x waits until the server is up" {
  start ping rpc-ping -v -x -c 1 ./late.sock
  said ping '^rpc-ping: cannot connect to \./late\.sock: No such file or directory \(waiting\)$'
  [ ! -s ping.out ]
  serve --unix ./late.sock
  finish ping
  [ "$status" -eq 0 ]
  [ "$(count_lines '^1 sent, 1 received, 0% loss')" -eq 1 ]
}

@test "-x says once for each address why it waits, and nothing with -q" {
  start ping rpc-ping -x -c 1 ./late.sock ./later.sock
  said ping '^rpc-ping: cannot connect to \./late\.sock: No such file or directory \(waiting\)$'
  said ping '^rpc-ping: cannot connect to \./later\.sock: No such file or directory \(waiting\)$'
  start quiet rpc-ping -x -q -c 1 ./later.sock
  serve --unix ./late.sock
  eventually lines_match ping.out '^pong from \./late\.sock: ' 1
  serve --unix ./later.sock
  finish ping
  [ "$status" -eq 0 ]
  [ "$(wc -l <<<"$stderr")" -eq 2 ]
  finish quiet
  [ "$status" -eq 0 ]
  [ -z "$stderr" ]
}

@test "-x gives up at -w: status 3" {
  address=$(closed_address)
  tool rpc-ping -x -w 0.05 "$address"
  expect 3 '' "rpc-ping: cannot connect to $address: Connection refused (waiting)
rpc-ping: cannot connect to $address within 50ms: Connection refused"
}

@test "INT prints the summary, QUIT the status so far" {
  serve
  start ping rpc-ping -i 0.2 "$address"
  eventually lines_match ping.out "^pong from $address: seq=1 time=" 1
  kill -QUIT "${pid[ping]}"
  said ping '^[0-9]+/[0-9]+ packets, 0% loss, min/avg/ewma/max = ([0-9]+\.[0-9]{3}/){3}[0-9]+\.[0-9]{3} ms$'
  eventually lines_match ping.out "^pong from $address: seq=2 time=" 1
  stop ping INT
  [ "$status" -eq 0 ]
  [ "$(count_lines "^--- $address ping statistics ---$")" -eq 1 ]
  [[ $stderr != *$'\n'* ]]
}

@test "INT without a reply is status 1" {
  serve --silent
  start ping rpc-ping "$address"
  eventually test -s ping.out
  stop ping INT
  [ "$status" -eq 1 ]
  [ "$(count_lines '^[01] sent, 0 received')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "--fail-loss and --fail-rtt: status 1, and a line that says which" {
  serve --delay 20
  tool rpc-ping -c 2 -i 0.01 --fail-loss 0 --fail-rtt p99:10s --fail-rtt max:5ms "$address"
  [ "$status" -eq 1 ]
  [ "$(count_lines '^2 sent, 2 received')" -eq 1 ]
  [[ "$stderr" =~ ^"rpc-ping: the round trips to $address are too long: max is "[0-9.]+" ms, more than 5 ms"$ ]]
  tool rpc-ping -c 2 -i 0.01 --fail-loss 0 --fail-rtt p50:10s "$address"
  [ "$status" -eq 0 ]
  [ -z "$stderr" ]
  serve --stop-after 1
  tool rpc-ping -q -c 2 -i 0.2 --fail-loss 10 "$address"
  [ "$status" -eq 1 ]
  [ "${stderr_lines[1]}" = "rpc-ping: too many probes of $address are lost: 50% of 2, more than 10%" ]
}

@test "two writes a reply earn a hint" {
  serve --two-writes
  # It is only given for times that are steady, which they are not on every machine at every moment.
  for _ in 1 2 3 4 5; do
    tool rpc-ping -q -A -c 12 "$address"
    [ "$status" -eq 0 ]
    [ "$(count_lines '^12 sent, 12 received')" -eq 1 ]
    [[ -z $stderr ]] || break
  done
  [[ "$stderr" =~ ^"rpc-ping: hint for $address: a steady 4"[0-9]" ms is "[^$'\n']*TCP_NODELAY[^$'\n']*$ ]]
}

@test "what cannot be understood is a usage error" {
  refuses 'no ADDR (see rpc-ping --help)' rpc-ping
  refuses 'nonsense: no port: write nonsense:PORT, or ./nonsense for a socket'\''s file' \
    rpc-ping nonsense
  refuses 'unknown option --nope (see rpc-ping --help)' rpc-ping --nope :1
  refuses '--count 0: write a number, 1 or more' rpc-ping -c 0 :1
  refuses '--count x: write a number, 1 or more' rpc-ping -c x :1
  refuses '--in-flight 0: write a number from 1 to 65536' rpc-ping -P 0 :1
  refuses '--connections 70000: write a number from 1 to 65536' rpc-ping -C 70000 :1
  refuses '--size 1048513: write a number from 0 to 1048512' rpc-ping -s 1048513 :1
  refuses '--rate 0: write a number from 0.001 to 10000000' rpc-ping --rate 0 :1
  refuses '--fail-loss 101: write a number from 0 to 100' rpc-ping --fail-loss 101 :1
  refuses '--fail-rtt 5ms: write p99:5ms, avg:1ms or max:1s' rpc-ping --fail-rtt 5ms :1
  refuses '--fail-rtt p101: write p50, p99.9, avg or max' rpc-ping --fail-rtt p101:1 :1
  refuses '--fail-rtt x: write a duration such as 250ms, 2s, 1m or 1h' rpc-ping --fail-rtt p99:x :1
  refuses '--interval x: write a duration such as 250ms, 2s, 1m or 1h' rpc-ping -i x :1
  refuses '--timeout -1: write a duration such as 250ms, 2s, 1m or 1h' rpc-ping -W -1 :1
  refuses '--in-flight 2 does not go with --reconnect: a connection has one probe then' rpc-ping --reconnect -P 2 :1
  refuses "cannot connect to fd:7: a descriptor can't be connected again, so it has one connection" \
    rpc-ping --reconnect fd:7 7<>/dev/null
}

@test "fd:N that is not open, or one way only, is a usage error" {
  local number
  for number in 3 5 9; do
    tool bash -c "rpc-ping -c 1 fd:$number $number>&-"
    expect 2 '' "rpc-ping: fd:$number: the descriptor is not open"
  done
  tool bash -c 'rpc-ping -c 1 fd:7 7</dev/null'
  expect 2 '' 'rpc-ping: fd:7: the descriptor is not open for reading and writing'
}

@test "paces exclude each other, except -f and -i" {
  local why='of --adaptive, --flood, --interval and --rate only --flood and --interval go together'
  refuses "$why" rpc-ping -A -i 1 :1
  refuses "$why" rpc-ping -A -f :1
  refuses "$why" rpc-ping -f --rate 5 :1
  refuses "$why" rpc-ping -i 1 --rate 5 :1
  serve
  tool rpc-ping -f -i 0.02 -c 3 "$address"
  [ "$status" -eq 0 ]
  [ "$(count_lines '^3 sent, 3 received, 0% loss, time [0-9]+ms$')" -eq 1 ]
  [ -z "$stderr" ]
}

@test "every option of the documentation is in --help" {
  tool rpc-ping --help
  local option
  for option in '-c, --count' '-i, --interval' '-W, --timeout' '-w, --deadline' '-f, --flood' '-A, --adaptive' --rate \
    '-D, --timestamps' '-J, --json' '-x, --wait' '-s, --size' '-C, --connections' '-P, --in-flight' --reconnect \
    --connect-timeout --fail-loss --fail-rtt '-v, --verbose' '-q, --quiet' '-V, --version' '-h, --help'; do
    [[ $output == *"  $option "* ]] || differs 0 "$option" ''
  done
  expect_match 0 $'Ping servers: .*\nUsage: rpc-ping \\[options\\] ADDR\\.\\.\\.\n.*' ''
}

@test "--version is one exact line" {
  tool rpc-ping --version
  expect 0 'rpc-ping (handoff) 0.1.0' ''
}

@test "data that could not be written is a failure" {
  serve
  tool bash -c 'rpc-ping -c 1 "$1" >/dev/full' - "$address"
  [ "$status" -eq 125 ]
  [ "$stderr" = "rpc-ping: cannot write to stdout: No space left on device" ]
}
