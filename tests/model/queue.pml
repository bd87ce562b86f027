// SPDX-License-Identifier: MIT
// The queue of `rpc-master --pass queue`: what a master and two workers do with the memory they
// share, step by step, while workers are killed at any step, deadlines pass at any time, and the
// master takes back at any time what a worker has not begun.
// `check` verifies that
//
//   - each request is answered exactly once, and never with the reply to another one;
//   - one that is not idempotent is executed at most once;
//   - nobody sleeps for ever while there is something to do (no invalid end state);
//   - at the end no slot and no credit is lost;
//
// and that it finds each of these mistakes:
//
//   NO_GENERATION   a reply is taken for whatever is in its slot by now
//   NO_SECOND_LOOK  who has said that it sleeps does not look again before it does
//   PUBLISH_EARLY   a position is published before the record that it covers is complete
//   READ_LATE       a worker says that it has a request only after it began to execute it
//   NO_FENCE        the look at the peer's `sleeping` overtakes the store of `written`
//   NO_REVOKE_FENCE the master's look at `read` overtakes its store of `revoked_from`
//   NO_BEGIN_FENCE  a worker's look at `revoked_from` overtakes its store of `read`
//   CLEAR_EARLY     a revocation ends when all was read, not when the worker has answered the last
//   ARM_WAITING     a worker is not armed that owes only replies which nobody waits for
//
// A step is a statement outside of d_step, or a d_step. It has one access to what another process
// can change meanwhile, or several that nobody can come between: to a record that is not published
// yet, or not given back yet; and to what the master does for both workers, who share nothing.
//
// Steps are sequentially consistent. So the code needs release and acquire for positions, and on
// both sides a full fence between a store and the look that follows it: `written`, then the peer's
// `sleeping`; `sleeping`, then the peer's `written`; `read`, then the master's `revoked_from`;
// `revoked_from`, then the worker's `read`.

#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef CREDITS
#define CREDITS 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef DEADLINES
#define DEADLINES 1
#endif
#ifndef REVOCATIONS
#define REVOCATIONS 0
#endif
#define CAPACITY CREDITS  // so nobody ever waits for room: asserted

#ifdef PUBLISH_EARLY
#define EARLY 1
#else
#define EARLY 0
#endif

// ---- Shared, each written by one side ----

typedef Record { byte slot; byte generation; byte request }

#define NOT_BEGUN REQUESTS  // in a reply: the request was taken back

typedef File {
  Record ring[CAPACITY];
  byte written;   // of this ring
  byte read;      // of the peer's ring
  byte revoked_from;  // the master's: the first position that is taken back, and 1; 0 is none
  bool sleeping   // the lowest bit of the count, all that the peer looks at
}

File to_worker[2];
File to_master[2];

// The channels, with room for one wake-up each way: to set it again is to find it full.
bool wake_worker[2];
bool wake_master[2];

chan kill[2] = [0] of { bit };
bool ended[2];  // the process, not only its channel: nothing more comes from it

// ---- The master's own ----

mtype:state = { free, waiting, assigned };

typedef Slot {
  mtype:state state = free;
  byte generation;
  byte request;
  byte owner;     // this and the next while it is assigned
  byte position   // of its record in the owner's ring
}

Slot slot[2];
byte outstanding[2];
byte arrived;

// What was given last to a worker. While a revocation lasts, the worker gets no more until it has
// answered that.
typedef Ticket { byte slot; byte generation }

Ticket last[2];
bool revoking[2];

// ---- The observer's ----

// Chosen at the start, down to none. Else a further arrival, deadline or death could always come to
// the rescue of a master that nobody wakes.
byte requests;
byte deadlines;
byte deaths;
byte revocations;

// No worker has died or lost a request: the first that does may as well be called 0.
bool symmetric = true;

byte answers;
bool answered[REQUESTS];
bool executed[REQUESTS];
bool idempotent[REQUESTS];  // decided when a worker dies with it: until then it makes no difference

// ---- What both sides do ----

#define unread(file, peer) (file.written != peer.read)

inline set(it, which, count, what) {
  it.slot = which;
  it.generation = count;
  it.request = what
}

// Copies what is at a position. What was read is wiped: nobody may rely on it, and it makes for
// fewer states.
inline take(it, file, position) {
  set(it, file.ring[(position) % CAPACITY].slot, file.ring[(position) % CAPACITY].generation,
      file.ring[(position) % CAPACITY].request);
  set(file.ring[(position) % CAPACITY], 0, 0, 0)
}

inline append(file, peer, which, count, what) {
  assert(file.written - EARLY - peer.read < CAPACITY);
  set(file.ring[(file.written - EARLY) % CAPACITY], which, count, what)
}

// Publishes what was appended, and wakes its reader.
inline publish(file, peer, wake) {
#ifdef NO_FENCE
  if
  :: peer.sleeping -> file.written++; wake = true
  :: else -> file.written++
  fi
#else
#if !EARLY
  file.written++;
#endif
  if
  :: peer.sleeping -> wake = true
  :: else
  fi
#endif
}

// ---- A worker ----

inline execute(what) {
  assert(!executed[what] || idempotent[what]);
  executed[what] = true
}

#define was_revoked(w, position) \
  (to_worker[w].revoked_from != 0 && (position) + 1 >= to_worker[w].revoked_from)

proctype worker(byte w) {
  Record record;
  bool sees_revoked;

born:
  {
    do
    :: d_step { unread(to_worker[w], to_master[w]) ->
                take(record, to_worker[w], to_master[w].read) }
#ifdef READ_LATE
      d_step { execute(record.request) }
#endif
#ifdef NO_BEGIN_FENCE
      d_step { sees_revoked = was_revoked(w, to_master[w].read) };
      to_master[w].read++;
#else
      to_master[w].read++;
      d_step { sees_revoked = was_revoked(w, to_master[w].read - 1) };
#endif
#if EARLY
      to_master[w].written++;
#endif
      d_step {
        if
        :: sees_revoked -> record.request = NOT_BEGUN
        :: else ->
#ifndef READ_LATE
          execute(record.request)
#endif
        fi;
        append(to_master[w], to_worker[w], record.slot, record.generation, record.request);
        set(record, 0, 0, 0);
        sees_revoked = false
      }
      publish(to_master[w], to_worker[w], wake_master[w])
    :: !unread(to_worker[w], to_master[w]) ->
      to_master[w].sleeping = true;
      if
#ifndef NO_SECOND_LOOK
      :: unread(to_worker[w], to_master[w])
#endif
      :: else ->
end_idle:
        d_step { wake_worker[w] -> wake_worker[w] = false }
      fi;
      to_master[w].sleeping = false
    od
  } unless {
    d_step {
      kill[w] ? _ ->
      set(record, 0, 0, 0);
      sees_revoked = false;
      ended[w] = true
    }
  }
end_dead:
  !ended[w];
  goto born
}

// ---- The master ----

// What is still owed for it can't reach what comes into this slot next.
inline renew(which, next) {
  slot[which].state = next;
  slot[which].generation++;
  slot[which].owner = 0;
  slot[which].position = 0
}

inline answer(which) {
  assert(!answered[slot[which].request]);
  answered[slot[which].request] = true;
  answers++;
  slot[which].request = 0;
  renew(which, free)
}

inline arrive(s) {
  slot[s].state = waiting;
  slot[s].request = arrived;
  arrived++
}

// The worker owes a reply even after the deadline.
inline expire(s) {
  deadlines--;
  answer(s)
}

inline assign(s, w) {
#if EARLY
  to_worker[w].written++;
#endif
  d_step {
    outstanding[w]++;
    slot[s].state = assigned;
    slot[s].owner = w;
    slot[s].position = to_worker[w].written - EARLY;
    last[w].slot = s;
    last[w].generation = slot[s].generation;
    append(to_worker[w], to_master[w], s, slot[s].generation, slot[s].request)
  }
  publish(to_worker[w], to_master[w], wake_worker[w])
}

#ifdef NO_GENERATION
#define is_current true
#else
#define is_current (slot[reply.slot].generation == reply.generation)
#endif

inline end_revocation(w) {
  to_worker[w].revoked_from = 0;
  revoking[w] = false
}

inline take_reply(w) {
  take(reply, to_master[w], to_worker[w].read);
  to_worker[w].read++;
  outstanding[w]--;
  if
  :: revoking[w] && reply.slot == last[w].slot && reply.generation == last[w].generation ->
    end_revocation(w)
  :: else
  fi;
  if
  :: slot[reply.slot].state == assigned && slot[reply.slot].owner == w && is_current ->
    if
    :: reply.request == NOT_BEGUN -> renew(reply.slot, waiting)
    :: else ->
      assert(slot[reply.slot].request == reply.request && executed[reply.request]);
      answer(reply.slot)
    fi
  :: else  // late, or taken back before: dropped
  fi;
  set(reply, 0, 0, 0)
}

// ---- The master takes back what a worker has not begun ----

// What was read at the second look, the worker begins, or answers as not begun. It begins nothing
// of the rest, and answers that as not begun too.
inline take_back(s, w) {
  if
  :: slot[s].state == assigned && slot[s].owner == w && slot[s].position >= seen ->
    renew(s, waiting)
  :: else
  fi
}

inline revoke(w) {
  d_step { revocations--; symmetric = false; seen = to_master[w].read };
#ifdef NO_REVOKE_FENCE
  // Both looks come first.
  seen = to_master[w].read;
  to_worker[w].revoked_from = seen + 1;
  d_step {
#else
  to_worker[w].revoked_from = seen + 1;
  d_step {
    seen = to_master[w].read;
#endif
    if
    :: seen < to_worker[w].written ->
      revoking[w] = true;
      take_back(0, w);
      take_back(1, w)
    :: else -> end_revocation(w)
    fi;
    seen = 0
  }
}

#define was_taken(s) (slot[s].position < to_master[slot[s].owner].read)

inline recover(s, w) {
  if
  :: slot[s].state != assigned || slot[s].owner != w
  :: else ->
    if
    :: !was_taken(s) -> renew(s, waiting)
    :: was_taken(s) -> idempotent[slot[s].request] = true; renew(s, waiting)
    :: was_taken(s) && !idempotent[slot[s].request] -> answer(s)
    fi
  fi
}

inline clear(file) {
  for (i : 0 .. CAPACITY - 1) {
    set(file.ring[i], 0, 0, 0)
  }
  i = 0;
  file.written = 0;
  file.read = 0;
  file.revoked_from = 0;
  file.sleeping = false
}

inline replace(w) {
  recover(0, w);
  recover(1, w);
  outstanding[w] = 0;
  revoking[w] = false;
  last[w].slot = 0;
  last[w].generation = 0;
  clear(to_worker[w]);
  clear(to_master[w]);
  wake_worker[w] = false;
  wake_master[w] = false;
  ended[w] = false
}

#define has_reply(w) unread(to_master[w], to_worker[w])
#define can_arrive(s) (slot[s].state == free && arrived < requests)
#define can_expire(s) (slot[s].state != free && deadlines > 0)
#define is_oldest(s) \
  (slot[s].state == waiting && \
   (slot[1 - s].state != waiting || slot[s].request < slot[1 - s].request))
#define can_assign(s, w) (is_oldest(s) && outstanding[w] < CREDITS && !revoking[w])
#define can_revoke(w) \
  (revocations > 0 && (w == 0 || !symmetric) && !revoking[w] && to_master[w].read < to_worker[w].written)

#define ends_early(w) (revoking[w] && to_master[w].read == to_worker[w].written)

#define finished (answers == requests && outstanding[0] == 0 && outstanding[1] == 0)
#define has_work \
  (finished || has_reply(0) || has_reply(1) || can_assign(0, 0) || can_assign(0, 1) || \
   can_assign(1, 0) || can_assign(1, 1))

// A worker that was given nothing has nothing to say, and is not armed.
#ifdef ARM_WAITING
#define may_reply(w) (slot[0].state == assigned && slot[0].owner == w || \
                      slot[1].state == assigned && slot[1].owner == w)
#else
#define may_reply(w) (outstanding[w] > 0)
#endif

inline wait() {
  if
  :: d_step { wake_master[0] || wake_master[1] -> wake_master[0] = false; wake_master[1] = false }
  :: ended[0] || ended[1]
  :: can_arrive(0) || can_arrive(1)
  :: can_expire(0) || can_expire(1)
  :: can_revoke(0) || can_revoke(1)
  fi
}

proctype master() {
  Record reply;
  byte i;
  byte seen;

  do
  :: d_step { can_arrive(0) -> arrive(0) }
  :: d_step { can_arrive(1) && !can_arrive(0) -> arrive(1) }
  :: d_step { can_expire(0) -> expire(0) }
  :: d_step { can_expire(1) -> expire(1) }
  :: can_assign(0, 0) -> assign(0, 0)
  :: can_assign(0, 1) -> assign(0, 1)
  :: can_assign(1, 0) -> assign(1, 0)
  :: can_assign(1, 1) -> assign(1, 1)
  :: can_revoke(0) -> revoke(0)
  :: can_revoke(1) -> revoke(1)
#ifdef CLEAR_EARLY
  :: d_step { ends_early(0) -> end_revocation(0) }
  :: d_step { ends_early(1) -> end_revocation(1) }
#endif
  :: d_step { has_reply(0) -> take_reply(0) }
  :: d_step { has_reply(1) -> take_reply(1) }
  // Its replies come first: what they answer is not to be run again.
  :: atomic { ended[0] && !has_reply(0) -> replace(0) }
  :: atomic { ended[1] && !has_reply(1) -> replace(1) }
  :: finished -> break
  :: !has_work ->
    d_step { to_worker[0].sleeping = may_reply(0); to_worker[1].sleeping = may_reply(1) }
    if
#ifndef NO_SECOND_LOOK
    :: has_reply(0) || has_reply(1)
#endif
    :: else -> wait()
    fi;
    d_step { to_worker[0].sleeping = false; to_worker[1].sleeping = false }
  od;
  assert(slot[0].state == free && slot[1].state == free)
}

init {
  atomic {
    select(requests : 1 .. REQUESTS);
    select(deadlines : 0 .. DEADLINES);
    select(deaths : 0 .. DEATHS);
    select(revocations : 0 .. REVOCATIONS);
    run master();
    run worker(0);
    run worker(1)
  }
end_spared:
  do
  :: atomic { deaths > 0 && !ended[0] -> kill[0] ! 0; deaths--; symmetric = false }
  :: atomic { deaths > 0 && !ended[1] && !symmetric -> kill[1] ! 0; deaths-- }
  od
}
