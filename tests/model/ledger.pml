// SPDX-License-Identifier: MIT
// The ledger of `rpc-master`: what a master, two workers and a client's connection do with the
// entries that they share, step by step, while workers and the master are killed at any step, and
// while the master takes back what it has passed. `check` verifies that
//
//   - every connection is served by at most one worker at a time;
//   - no request is executed twice;
//   - each call is answered exactly once, by whole replies, or its client sees the end of the
//     connection: nobody waits for ever (no invalid end state);
//   - a connection that has been shut down is not passed on, and one that was closed had been shut
//     down, so that no copy of its descriptor hides the end from the client;
//   - at the end every descriptor has been closed;
//
// and that it finds each of these mistakes:
//
//   NO_STORE_BEFORE_READ     a worker reads an idle connection without saying `busy` first
//   NO_STORE_BEFORE_WRITE    a worker begins a reply without saying `busy` first
//   NO_STORE_BEFORE_HANDLER  a worker executes a request that came along before it says `running`
//   IDLE_EARLY               a worker says `idle` before the kernel has taken the whole reply
//   ID_LATE                  a worker writes the call's id after the state that covers it
//   SHUT_DOWN_EARLY          a worker shuts an idle connection down before it says `closed`
//   FINISHED_EARLY           a worker says `closed` after it has given the entry back
//   PLAIN_RECEIVED           a worker takes a connection without compare-and-exchange
//   PLAIN_TAKEN              the master takes a connection back without compare-and-exchange
//   NO_GENERATION            a worker's compare-and-exchange ignores the generation
//   PASSED_LATE              the master sends a connection before its entry says `passed`
//   JUDGE_EARLY              the master judges a dead worker's entries before its last messages
//   FORGET_OWED              the master forgets the owed reply of a connection once it is passed
//   NO_SHUTDOWN              the master closes a dead worker's connection without shutting it down
//
// A request has two halves, and so has a reply: each can be torn. A step is a statement outside of
// d_step, or a d_step. It has one access to what another process can change meanwhile; what the
// observer notes, and what nobody but this process can change, is part of a step. Each worker has a
// ledger of one entry, and serves one connection at a time.
//
// Steps are sequentially consistent. The code needs no more than release for a store, because only
// one process writes the entry then, and acquire with release for a compare-and-exchange: what a
// worker stored is read only after its exit was reported.

#ifndef CONNECTIONS  // at most 2, of each of which REQUESTS are at most 2
#define CONNECTIONS 1
#endif
#ifndef REQUESTS
#define REQUESTS 1
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef MASTER_KILLS
#define MASTER_KILLS 0
#endif
#ifndef TAKES
#define TAKES 0
#endif
#ifndef RETURNS
#define RETURNS 0
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
#ifndef ACCEPTED
#define ACCEPTED 0  // 1: the first connection is accepted by a worker, which may deposit it
#endif

#define NONE 2

// ---- Shared ----

mtype:state = { free, passed, received, idle, running, silent, busy, closed, taken };

typedef Entry {
  mtype:state state = free;
  byte generation;
  byte id
}

Entry entry[2];

// `brought` is a RETURN with a descriptor, of a connection that the worker has accepted.
mtype:message = { finished, returned, brought, deposited };

// A connection, its generation, the halves of requests that come along, the owed reply from 1.
chan to_worker[2] = [2] of { byte, byte, byte, byte };
// A connection, the halves of requests that come back.
chan to_master[2] = [1] of { mtype:message, byte, byte };

chan kill[2] = [0] of { bit };
chan kill_master = [0] of { bit };
bool ended[2];
bool is_master_dead;

// ---- The kernel's and the client's ----

typedef Socket {
  byte sent;         // halves of requests that the client has sent
  byte read;         // how many of them were read
  byte torn;         // the reply, from 1, of which the client has the first half only
  byte settled;      // a set of requests: answered, or notifications that were executed
  byte descriptors;  // in processes and in channels
  bool shut;         // by shutdown(2)
  bool left          // by the client
}

Socket socket[2];

#define is_over(c) (socket[c].shut || socket[c].descriptors == 0)

// ---- The observer's ----

byte server[2];    // the worker that serves it, or NONE
byte executed[2];  // a set of requests

// Chosen at the start, down to none. Else a further event could always come to the rescue.
byte kills;
byte master_kills;
byte takes;
byte returns;
byte timeouts;
byte leaves;
byte refusals;  // of deposits

#define bit_of(request) (1 << (request))

#include "ledger_worker.pml"
#include "ledger_master.pml"

// ---- A client ----

proctype client(byte c) {
  do
  :: !is_over(c) && socket[c].sent < 2 * REQUESTS -> socket[c].sent++
  :: socket[c].settled == bit_of(REQUESTS) - 1 -> break
  :: is_over(c) -> break
  :: d_step { leaves > 0 -> leaves-- } break
  od;
  socket[c].left = true
}

init {
  byte c;
  atomic {
    select(kills : 0 .. KILLS);
    select(master_kills : 0 .. MASTER_KILLS);
    select(takes : 0 .. TAKES);
    select(returns : 0 .. RETURNS);
    select(timeouts : 0 .. TIMEOUTS);
    select(leaves : 0 .. LEAVES);
    select(refusals : 0 .. ACCEPTED);
    server[0] = (ACCEPTED -> 0 : NONE);
    server[1] = NONE;
    for (c : 0 .. CONNECTIONS - 1) {
      socket[c].descriptors = 1;
      custody[c].has_copy = !(ACCEPTED && c == 0);
      run client(c)
    }
    c = 0;
    entry[0].state = (ACCEPTED -> received : free);
    run master();
    run worker(0, ACCEPTED);
    run worker(1, false)
  }
end_spared:
  do
  :: atomic { kills > 0 && !ended[0] -> kill[0] ! 0; kills-- }
  :: atomic { kills > 0 && !ended[1] -> kill[1] ! 0; kills-- }
  :: atomic { master_kills > 0 && !is_master_dead -> kill_master ! 0; master_kills-- }
  od
}
