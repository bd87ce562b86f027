# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the command line share. Each begins in an empty directory of its own, and what
# it has started ends with it.

bats_require_minimum_version 1.5.0

# What the tests see does not depend on where they are run.
for variable in $(compgen -e); do
  case $variable in
    PATH | TMPDIR | HANDOFF_* | BATS_* | *SAN_OPTIONS | PWD | SHLVL | _) ;;
    *) unset "$variable" ;;
  esac
done
unset variable

HANDOFF_BIN=$(realpath "${HANDOFF_BIN:-$BATS_TEST_DIRNAME/../../build/bin}")
PATH=$HANDOFF_BIN:$PATH
SUPPORT=$BATS_TEST_DIRNAME/../support
export PATH SUPPORT

# Seconds after which something that should have happened is given up. A run that passes never
# waits for so long.
PATIENCE=20

declare -gA pid=() # load is a function
sessions=()

setup() {
  cd "$BATS_TEST_TMPDIR" || return
}

# Ends everything that was started, with all that it has started itself.
teardown() {
  local id
  for id in "${pid[@]}"; do
    kill -KILL "$id" || true
  done 2>>teardown.err
  for id in "${sessions[@]}"; do
    pkill -KILL -s "$id" || true
  done
  for id in "${pid[@]}"; do
    wait "$id" || true
  done 2>>teardown.err
}

# tool COMMAND [ARG...]: as `run`, with a deadline (status 137).
tool() {
  run --separate-stderr timeout -s KILL "$PATIENCE" "$@"
}

# expect STATUS STDOUT STDERR: exactly that came from `tool`, `run` or `finish`.
expect() {
  [[ $status == "$1" && $output == "$2" && $stderr == "$3" ]] || differs "$@"
}

# expect_match STATUS STDOUT STDERR: the same with regular expressions, for all of the text.
expect_match() {
  [[ $status == "$1" && $output =~ ^($2)$ && $stderr =~ ^($3)$ ]] || differs "$@"
}

# keep_stderr COUNT: forgets all of stderr but the first lines.
keep_stderr() {
  stderr=$(head -n "$1" <<<"$stderr")
}

differs() {
  printf '%-8s <%s>\n' 'status' "$status" 'wanted' "$1" 'stdout' "$output" 'wanted' "$2" \
    'stderr' "$stderr" 'wanted' "$3"
  return 1
}

# refuses WHY COMMAND [ARG...]: a usage error, in one line.
refuses() {
  local why=$1
  shift
  tool "$@"
  expect 2 '' "$1: $why"
}

# start NAME COMMAND [ARG...]: runs it in the background, ${pid[NAME]}, in a session of its own.
start() {
  local name=$1
  shift
  : >"$name.out"
  : >"$name.err"
  setsid "$@" <&0 >>"$name.out" 2>>"$name.err" 3>&- 4>&- 8>&- 9>&- &
  pid[$name]=$!
  sessions+=("$!")
}

# finish NAME: waits until it has ended, and gives status, output and stderr as `run` does.
finish() {
  eventually has_ended "${pid[$1]}"
  status=0
  wait "${pid[$1]}" || status=$?
  unset "pid[$1]"
  # shellcheck disable=SC2034 # for expect
  output=$(<"$1.out") stderr=$(<"$1.err")
}

# Bash reaps its children by itself, so that the number of one that has ended is soon free.
has_ended() {
  ! kill -0 "$1" 2>>teardown.err
}

# is_gone PID: it has ended, whether it was reaped or not.
is_gone() {
  ! grep -qsE '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status"
}

# eventually COMMAND [ARG...]: asks until it succeeds.
eventually() {
  local deadline=$((SECONDS + PATIENCE))
  until "$@"; do
    if ((SECONDS >= deadline)); then
      echo "never: $*"
      tail -n 20 -- *.err
      return 1
    fi
    sleep 0.02
  done
}

# said NAME REGEX [COUNT]: waits until so many lines of its stderr match.
said() {
  eventually lines_match "$1.err" "$2" "${3:-1}"
}

lines_match() {
  (($(grep -cE -- "$2" "$1") >= $3))
}

# port_of NAME: the port of the first TCP address that it has said to listen on.
port_of() {
  sed -nE 's/.* on [^ ]*:([0-9]+).*/\1/p' "$1.err" | head -n 1
}

# start_worker [ARG...]: an rpc-worker on ./w, ready.
start_worker() {
  start worker rpc-worker -l ./w "$@"
  said worker '^rpc-worker: ready, on \./w'
}

# stop_worker: its whole stderr was the one line that it was ready.
stop_worker() {
  stop worker
  expect 0 '' 'rpc-worker: ready, on ./w'
}

# start_master [OPTION...] -- COMMAND...: an rpc-master on ./m, ready.
start_master() {
  start master rpc-master -l ./m "$@"
  said master '^rpc-master: ready, '
}

# workers_seen COUNT: the numbers of the workers that answered so many calls, in order.
workers_seen() {
  local i
  for ((i = 0; i < $1; ++i)); do
    rpc-call ./m info | jq .worker
  done
}

# start_server ADDRESS ACTION...: see scripted_server.py.
start_server() {
  start server python3 "$SUPPORT/scripted_server.py" "$@"
  said server '^ready, on '
}

# stop NAME [SIGNAL]: ends it, as `finish`.
stop() {
  kill -"${2:-TERM}" "${pid[$1]}"
  finish "$1"
}

# A method's command for a call that ends when it is told to: ./entered is there once it runs, and
# open_gate lets one such call end.
# shellcheck disable=SC2034 # for the tests
GATED='echo >>entered; read line <gate; echo true'

# start_gated_call ADDRESS: makes `call` call `gated`, and waits until it runs.
start_gated_call() {
  mkfifo gate
  exec 9<>gate
  start call rpc-call "$1" gated
  eventually test -e entered
}

open_gate() {
  echo >&9
}

# start_lines ADDRESS [OPTION...]: makes `lines` a client that stays connected, and calls echo for
# each `line TEXT`, until end_lines.
start_lines() {
  mkfifo lines.in
  exec 8<>lines.in
  start lines rpc-call "$@" echo - <lines.in
}

line() {
  echo "$1" >&8
}

end_lines() {
  exec 8>&-
}

# frame BODY: a frame as it travels.
frame() {
  local LC_ALL=C
  local size=${#1}
  # shellcheck disable=SC2059 # octal escapes
  printf "$(printf '\\%03o' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) 0)"
  printf '%s' "$1"
}

has_ipv6() {
  grep -qs '^00000000000000000000000000000001 ' /proc/net/if_inet6
}
