// SPDX-License-Identifier: MIT
// The master: a part of ledger.pml, which says what is verified, and what a step is.

typedef Custody {
  bool has_copy;
  byte owner = NONE;  // the worker that it was passed to
  byte bytes;         // halves of requests to pass on
  byte owed           // the reply to pass on, from 1
}

Custody custody[2];

inline close_copy(c) {
  custody[c].has_copy = false;
  custody[c].owner = NONE;
  custody[c].bytes = 0;
  custody[c].owed = 0;
  socket[c].descriptors--
}

inline send(c, w) {
  d_step {
    if
    :: ended[w]  // EPIPE
    :: else ->
      to_worker[w] ! c, entry[w].generation, custody[c].bytes, custody[c].owed;
      socket[c].descriptors++
    fi;
#ifdef FORGET_OWED
    custody[c].owed = 0
#endif
  }
}

inline pass(c, w) {
  d_step {
    assert(!socket[c].shut);
    custody[c].owner = w;
    entry[w].generation++;
#ifdef PASSED_LATE
  }
  send(c, w);
  entry[w].state = passed
#else
    entry[w].state = passed
  }
  send(c, w)
#endif
}

inline take_back(c, w) {
  takes--;
  entry[w].state = taken;
  custody[c].owner = NONE
}

inline come_back(c) {
  custody[c].owner = NONE;
  custody[c].bytes = bytes;
  custody[c].owed = 0
}

inline take_message(w) {
  to_master[w] ? type, connection, bytes ->
  if
  :: type == deposited ->
    custody[connection].has_copy = true;
    custody[connection].owner = w
  :: type == returned ->
    assert(custody[connection].owner == w);
    come_back(connection)
  :: type == brought ->
    if
    :: custody[connection].has_copy -> socket[connection].descriptors--
    :: else -> custody[connection].has_copy = true
    fi;
    come_back(connection)
  :: type == finished ->
    assert(socket[connection].shut);
    assert(custody[connection].owner == w || (ACCEPTED && !custody[connection].has_copy));
    if
    :: custody[connection].has_copy -> close_copy(connection)
    :: else
    fi
  fi;
  type = 0;
  connection = 0;
  bytes = 0
}

// A deposit, of the worker 0.
#define can_refuse (refusals > 0 && to_master[0] ? [deposited, 0, 0])

inline refuse() {
  refusals--;
  to_master[0] ? deposited, 0, 0;
  socket[0].descriptors--
}

inline untouched(c) {
  custody[c].owner = NONE
}

inline touched(c, reply) {
  custody[c].owner = NONE;
  custody[c].bytes = 0;
  custody[c].owed = reply
}

inline end(c) {
#ifndef NO_SHUTDOWN
  socket[c].shut = true;
#endif
  close_copy(c);
  assert(socket[c].shut)
}

inline judge(c, w) {
  if
  :: custody[c].owner != w
  :: custody[c].owner == w && entry[w].state == passed -> untouched(c)
  :: custody[c].owner == w && entry[w].state == received -> untouched(c)
  :: custody[c].owner == w && entry[w].state == idle -> touched(c, 0)
  :: custody[c].owner == w && entry[w].state == running -> touched(c, entry[w].id + 1)
  :: custody[c].owner == w && entry[w].state == silent ->
    socket[c].settled = socket[c].settled | bit_of(entry[w].id);
    touched(c, 0)
  :: custody[c].owner == w && entry[w].state == busy -> end(c)
  :: custody[c].owner == w && entry[w].state == closed -> end(c)
  fi
}

inline replace(w) {
  judge(0, w);
  judge(1, w);
  entry[w].state = free;
  entry[w].generation = 0;
  entry[w].id = 0;
  ended[w] = false
}

#define is_owned(c, w) (custody[c].owner == w)
#define is_entry_unused(w) (!is_owned(0, w) && !is_owned(1, w))
#define all_closed (socket[0].descriptors == 0 && socket[1].descriptors == 0)
#define can_pass(c, w) \
  (custody[c].has_copy && is_owned(c, NONE) && !ended[w] && is_entry_unused(w) && \
   nfull(to_worker[w]))
#define can_take_back(c, w) (is_owned(c, w) && takes > 0 && entry[w].state == passed)

#ifdef JUDGE_EARLY
#define can_judge(w) (ended[w])
#else
#define can_judge(w) (ended[w] && empty(to_master[w]))
#endif

#ifdef PLAIN_TAKEN
#define MASTER_TAKES_BACK(c, w) :: can_take_back(c, w) -> d_step { take_back(c, w) }
#else
#define MASTER_TAKES_BACK(c, w) :: d_step { can_take_back(c, w) -> take_back(c, w) }
#endif

inline end_copies() {
  do
  :: nempty(to_master[0]) -> to_master[0] ? type, connection, _;
    if
    :: type == deposited || type == brought -> socket[connection].descriptors--
    :: else
    fi
  :: nempty(to_master[1]) -> to_master[1] ? type, connection, _;
    if
    :: type == deposited || type == brought -> socket[connection].descriptors--
    :: else
    fi
  :: empty(to_master[0]) && empty(to_master[1]) -> break
  od;
  connection = 0;
  do
  :: connection < 2 ->
    if
    :: custody[connection].has_copy -> close_copy(connection)
    :: else
    fi;
    connection++
  :: else -> break
  od;
  connection = 0;
  type = 0
}

proctype master() {
  mtype:message type;
  byte connection;
  byte bytes;

  {
    do
    :: can_pass(0, 0) -> pass(0, 0)
    :: can_pass(0, 1) -> pass(0, 1)
    MASTER_TAKES_BACK(0, 0)
    MASTER_TAKES_BACK(0, 1)
    :: can_pass(1, 0) -> pass(1, 0)
    :: can_pass(1, 1) -> pass(1, 1)
    MASTER_TAKES_BACK(1, 0)
    MASTER_TAKES_BACK(1, 1)
    :: d_step { can_refuse -> refuse() }
    :: d_step { take_message(0) }
    :: d_step { take_message(1) }
    :: atomic { can_judge(0) -> replace(0) }
    :: atomic { can_judge(1) -> replace(1) }
    :: all_closed -> break
    od;
end_over:
    false
  } unless {
    d_step {
      kill_master ? _ ->
      end_copies();
      is_master_dead = true
    }
  }
}
