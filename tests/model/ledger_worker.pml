// SPDX-License-Identifier: MIT
// A worker: a part of ledger.pml, which says what is verified, and what a step is.

#define is_one(calls) (calls != 0 && (calls & (calls - 1)) == 0)

inline touch() {
  assert(server[c] == w && !socket[c].shut)
}

inline execute() {
  assert(!(executed[c] & bit_of(request)));
  executed[c] = executed[c] | bit_of(request)
}

inline settle(which, what) {
  assert(!(socket[which].settled & bit_of(what)));
  socket[which].settled = socket[which].settled | bit_of(what)
}

// A store is skipped when the entry says the same already: the worker knows what it stored last.
inline become(next) {
  if
  :: entry[w].state == next
  :: else -> entry[w].state = next
  fi
}

// Only while the state is one in which the id means nothing.
inline become_call(next, what) {
#ifdef ID_LATE
  entry[w].state = next;
  entry[w].id = what
#else
  entry[w].id = what;
  entry[w].state = next
#endif
}

inline forget() {
  c = NONE;
  generation = 0;
  buffered = 0;
  owed = 0;
  calls = 0;
  request = 0;
  is_own = false;
  is_deposited = false
}

inline drop() {
  socket[c].descriptors--;
  forget()
}

// Takes the connection that was received, or leaves it to the master, which took it back.
inline take() {
#ifdef PLAIN_RECEIVED
  entry[w].state == passed;
#endif
  d_step {
    if
#ifdef PLAIN_RECEIVED
    :: true ->
#elif defined(NO_GENERATION)
    :: entry[w].state == passed ->
#else
    :: entry[w].state == passed && entry[w].generation == generation ->
#endif
      entry[w].state = received;
      assert(server[c] == NONE && (socket[c].read - buffered) % 2 == 0);
      server[c] = w
    :: else -> drop()
    fi
  }
}

inline write_reply(what) {
#ifndef NO_STORE_BEFORE_WRITE
  become(busy);
#endif
  d_step {
    touch();
    assert(socket[c].torn == 0);
    socket[c].torn = what + 1
  }
#ifdef IDLE_EARLY
  become(idle);
#endif
  d_step {
    touch();
    assert(socket[c].torn == what + 1);
    socket[c].torn = 0;
    settle(c, what)
  }
}

inline read_half() {
#ifndef NO_STORE_BEFORE_READ
  become(busy);
#endif
  d_step {
    touch();
    socket[c].read++;
    buffered++
  }
}

#define is_alone (buffered == 2 && calls == 0)

// An instant method is executed while the entry says `busy`.
inline begin_call() {
#ifdef NO_STORE_BEFORE_HANDLER
  d_step { execute() }
#endif
  if
  :: is_alone -> become_call(running, request)
  :: true -> become(busy)
  fi;
  d_step {
#ifndef NO_STORE_BEFORE_HANDLER
    execute();
#endif
    calls = calls | bit_of(request);
    buffered = buffered - 2
  }
}

inline run_notification() {
  if
  :: is_alone -> become_call(silent, request)
  :: else -> become(busy)
  fi;
  d_step {
    execute();
    settle(c, request);
    buffered = buffered - 2
  }
}

inline choose_call() {
  if
  :: calls & 1 -> request = 0
  :: calls & 2 -> request = 1
  fi
}

// What the entry says after a reply or a notification.
inline rest() {
  if
  :: calls == 0 && buffered == 0 -> become(idle)
  :: is_one(calls) && buffered == 0 && entry[w].state == busy ->
    choose_call();
    become_call(running, request)
  :: calls != 0 || buffered != 0
  fi;
  request = 0
}

inline give_back() {
  returns--;
  server[c] = NONE;
  if
  :: is_own ->
    to_master[w] ! brought, c, buffered;
    socket[c].descriptors++
  :: else -> to_master[w] ! returned, c, buffered
  fi
}

inline shut_down() {
  d_step {
    touch();
    socket[c].shut = true;
    server[c] = NONE
  }
}

inline finish() {
#ifdef SHUT_DOWN_EARLY
  shut_down();
  become(closed);
#elif defined(FINISHED_EARLY)
  become(busy);
  shut_down();
#else
  become(closed);
  shut_down();
#endif
  if
  :: is_master_dead
  :: !is_master_dead -> to_master[w] ! finished, c, 0
  fi;
#ifdef FINISHED_EARLY
  become(closed);
#endif
  d_step { drop() }
}

// The worker goes on in the same way whether the master keeps it or refuses to.
inline deposit() {
  to_master[w] ! deposited, c, 0;
  socket[c].descriptors++;
  is_deposited = true
}

#define is_served (c != NONE && owed == 0)
#define has_unread (socket[c].sent > socket[c].read)
#define can_send (is_served && !is_master_dead && nfull(to_master[w]))
#define has_request (is_served && buffered >= 2)
#define next_request ((socket[c].read - buffered) / 2)
#define is_to_end \
  ((buffered < 2 && socket[c].left && !has_unread) || (buffered == 0 && is_master_dead))

inline drop_channel() {
  do
  :: nempty(to_worker[w]) ->
    to_worker[w] ? c, _, _, _;
    socket[c].descriptors--
  :: empty(to_worker[w]) -> break
  od
}

proctype worker(byte w; bool has_accepted) {
  byte c = (has_accepted -> 0 : NONE);
  byte generation;
  byte buffered;  // halves of requests that were read, or came along, and not executed
  byte owed;      // the reply that came along, from 1
  byte calls;     // a set of requests: those that are executed
  byte request;
  bool is_own = has_accepted;  // the worker has accepted the connection itself
  bool is_deposited;

born:
  {
    do
    ::
      do
      :: c == NONE ->
end_idle:
        d_step { to_worker[w] ? c, generation, buffered, owed }
        take()
      :: c != NONE && owed != 0 ->
        write_reply(owed - 1);
        owed = 0;
        break
      :: is_served && has_unread -> read_half()
      :: d_step { has_request -> request = next_request }
        begin_call();
        request = 0
      :: d_step { has_request -> request = next_request }
        run_notification();
        break
      :: is_served && calls != 0 ->
        choose_call();
        write_reply(request);
        calls = calls & ~bit_of(request);
        break
      :: d_step { can_send && calls == 0 && returns > 0 -> give_back() }
        d_step { drop() }
      :: is_served && calls == 0 && is_to_end ->
        become(busy);
        finish()
      :: d_step { is_served && calls == 0 && buffered == 0 && timeouts > 0 -> timeouts-- }
        finish()
      :: d_step { can_send && is_own && !is_deposited -> deposit() }
      od;
      rest()
    od
  } unless {
    d_step {
      kill[w] ? _ ->
      if
      :: c != NONE ->
        socket[c].descriptors--;
        if
        :: server[c] == w -> server[c] = NONE
        :: else
        fi
      :: else
      fi;
      drop_channel();
      forget();
      ended[w] = true
    }
  }
end_dead:
  !ended[w];
  goto born
}
