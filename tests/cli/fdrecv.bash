# shellcheck shell=bash disable=SC2154 # common.bash has the rest
# SPDX-License-Identifier: MIT
# What the tests of fdrecv share, besides common.bash.

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
