// SPDX-License-Identifier: MIT
#include "rpc/session.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "os/socket.hpp"
#include "rpc/dispatch.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"
#include "wire/start.hpp"

namespace handoff {
namespace {

/// A client whose frames keep coming lets the others have a turn after so many.
constexpr int kFramesPerTurn = 64;

/// The first buffer of a frame that did not arrive whole.
constexpr std::size_t kPartialSize = 4096;

/// Bytes that are read at a time at most, so that little more than a frame is ever unused.
constexpr std::size_t kMostAtOnce = std::size_t{512} << 10;

/// How long calls may hold up others with replies that may be long.
constexpr auto kLongCall = std::chrono::seconds(1);

/// How often a connection looks whether the process has memory again: other threads free it too.
constexpr auto kMemoryPause = std::chrono::milliseconds(20);

/// What a call takes besides its texts.
constexpr std::size_t kCallSize = 1024;

/// The method and the id are there twice: in the call, and for its reply.
std::size_t size_of(const Call& call) {
  return kCallSize + 2 * call.method.size() + 2 * call.id.size() + call.params.size();
}

}  // namespace

Service::Service(Reactor& loop, std::shared_ptr<const MethodTable> methods,
                 const SessionLimits& bounds)
    : reactor(loop),
      table(std::move(methods)),
      limits(bounds),
      running(loop, bounds.concurrency, bounds.max_waiting) {
  reactor.add(*this);
}

Service::~Service() {
  reactor.remove(*this);
}

void Service::drain(bool give_back) {
  draining_ = true;
  gives_back_ = give_back;
  for (Session* session : sessions) session->drain();
}

void Service::abandon() {
  gives_back_ = false;
  for (Session* session : sessions) session->abandon();
}

bool Service::close_idlest() {
  const auto idlest =
      std::min_element(sessions.begin(), sessions.end(),
                       [](auto* one, auto* other) { return one->ends_at() < other->ends_at(); });
  if (idlest == sessions.end() || (*idlest)->ends_at() == kNever) return false;
  (*idlest)->make_way();
  return true;
}

/// There may be no memory for the line either.
void Service::tell_failed(std::string_view what) const {
  try {
    if (on_failed) on_failed(fmt::format("a connection is closed: {}", what));
  } catch (const std::exception&) {
    return;
  }
}

Session::Session(Opening opening) noexcept
    : Timer(opening.service.reactor),
      index_(static_cast<std::uint32_t>(opening.service.sessions.size())),
      estimate_(opening.service.limits.connection_memory(), opening.service.limits.max_frame),
      service_(opening.service),
      share_(*service_.limits.memory),
      id_(opening.connection.id),
      stream_(service_.reactor, std::move(opening.connection.socket), Stream::Kind::socket),
      partial_(std::move(opening.partial)),
      client_(std::move(opening.client)),
      framing_(opening.connection.framing),
      dialect_(opening.connection.dialect),
      unprocessed_(partial_ != nullptr) {
  service_.sessions.push_back(this);
  keep_urgent_data(stream_.fd());
  if (service_.draining_) state_ = State::draining;
}

Session::~Session() {
  if (deferred_) std::erase(service_.deferring, this);
  if (paused_) --service_.paused;
  service_.sessions[index_] = service_.sessions.back();
  service_.sessions[index_]->index_ = index_;
  service_.sessions.pop_back();
  --service_.open;
  if (!returned_ && service_.on_closed) service_.on_closed(id_);
}

void Session::open(Service& service, Connection connection) {
  const std::uint64_t id = connection.id;
  try {
    std::unique_ptr<ReceiveBuffer> partial;
    if (!connection.unread.empty()) {
      partial = std::make_unique<ReceiveBuffer>(connection.unread.size());
      partial->append(connection.unread);
    }
    ClientAddress client(connection.peer);
    // So that there is a place for each that was opened.
    if (service.sessions.capacity() <= service.open) service.sessions.reserve(2 * service.open + 1);
    service.reactor.spawn(serve(std::unique_ptr<Opening>(
        new Opening{service, std::move(connection), std::move(partial), std::move(client)})));
  } catch (const std::exception& error) {
    service.tell_failed(error.what());
    if (service.on_closed) service.on_closed(id);
    return;
  }
  ++service.open;
}

/// What stands in its frame is what an idle connection costs: hence the pointer, one wait for
/// either readiness, and other waits elsewhere.
Task<void> Session::serve(std::unique_ptr<Opening> opening) {
  Session session(std::move(*opening));
  opening.reset();
  for (;;) {
    try {
      const Next next = session.step();
      session.count_held();
      if (next == Next::end) co_return;
      if (next == Next::turn) {
        co_await pause(session);
        continue;
      }
      session.waits_for_call_ = next == Next::call_finished;
      co_await session.stream_.ready(next == Next::readable   ? EPOLLIN
                                     : next == Next::writable ? EPOLLOUT
                                                              : EPOLLHUP);
      session.waits_for_call_ = false;
    } catch (const std::exception& error) {
      session.fail(error.what());
    }
  }
}

Task<void> Session::pause(Session& session) {
  co_await session.service_.reactor.yield();
}

void Session::drain() {
  if (state_ != State::open && state_ != State::draining) return;
  state_ = State::draining;
  stream_.interrupt();
}

void Session::make_way() {
  if (partial_ || unsent_) set_broken();  // it may never send the rest, or never read it
  drain();
  stream_.interrupt();
}

Session::Next Session::step() {
  limit_ = Limit::none;
  if (std::exchange(paused_, false)) --service_.paused;
  if (!has_calls()) calls_.reset();
  if (unsent_) send_unsent();
  if (calls_) start_next_calls();
  if (calls_ && client_has_left()) calls_->client_left.cancel();
  if (state_ == State::lingering) return linger();
  if (unsent_) {
    due_ = kNever;  // a frame that we do not read is not late
    share_.wait_for_client();
    arm_for(Limit::write, service_.limits.write_timeout);
    return Next::writable;
  }
  if (state_ == State::draining && service_.gives_back_) {
    return has_calls() ? wait_for_calls() : give_back();
  }
  if (state_ == State::open || state_ == State::draining) {
    const Room room = room_for_call();
    if (room == Room::enough || room == Room::none) return read_more();
    if (room == Room::memory) return wait_for_memory();
    due_ = kNever;
    return wait_for_calls();
  }
  return has_calls() ? wait_for_calls() : finish();
}

Session::Next Session::read_more() {
  ReceiveBuffer& input = partial_ ? *partial_ : service_.input;
  if (!partial_) input.clear();
  // What was left when the last turn ended comes first.
  if (unprocessed_) return process(input, false);
  input.make_room();
  const std::size_t room = std::min(input.room().size(), kMostAtOnce);
  const IoResult result = stream_.try_read(input.room().first(room));
  switch (result.outcome) {
    case IoResult::Outcome::done: {
      const std::span<const char> arrived = input.room().first(result.size);
      input.commit(result.size);
      const bool drained_socket = result.size < room && !stream_.stops_short();
      if (!goes_on(arrived, input)) return process(input, drained_socket);
      return drained_socket ? wait_for_input() : Next::turn;
    }
    case IoResult::Outcome::would_block: return wait_for_input();
    case IoResult::Outcome::end:
      state_ = State::ended;
      return input.empty() ? Next::turn : process(input, true);
    case IoResult::Outcome::broken: set_broken(); return Next::turn;
  }
  return Next::end;
}

/// Nothing of what a stranger sends is parsed, neither now nor later.
void Session::judge(ReceiveBuffer& input, std::string& out, bool complete) {
  const JudgedStart judged = judge_start(input.bytes(), service_.limits.framing, complete);
  switch (judged.start) {
    case Start::undecided: break;
    case Start::lines: framing_ = Framing::lines; break;
    case Start::length: framing_ = Framing::length; break;
    case Start::stranger:
      append_answer_to_stranger(out, input.bytes());
      state_ = State::refused;
      return input.clear();
  }
  input.consume(judged.blanks);
}

/// Whether a line that was partial still is, so that its start need not be searched again.
bool Session::goes_on(std::span<const char> line_part, const ReceiveBuffer& input) const {
  return framing_ == Framing::lines && partial_ && !unprocessed_ &&
         input.bytes().size() <= service_.limits.max_frame &&
         std::find(line_part.begin(), line_part.end(), '\n') == line_part.end();
}

Session::Next Session::process(ReceiveBuffer& input, bool drained_socket) {
  std::string& out = service_.output;
  out.clear();
  const bool complete = state_ == State::ended;
  if (framing_ == Framing::unknown) judge(input, out, complete);
  // The last line needs no newline. A frame that was cut off can't be answered.
  if (complete && framing_ == Framing::lines) input.append(std::string_view("\n"));
  int frames = 0;
  bool partial = framing_ == Framing::unknown;
  while (!partial && frames < kFramesPerTurn && out.size() < service_.limits.max_unsent) {
    const Room room = room_for_call();
    if (room != Room::enough && room != Room::none) break;
    const std::uint32_t limit = service_.limits.max_frame;
    const DecodedFrame frame = framing_ == Framing::lines ? decode_line(input.bytes(), limit)
                                                          : decode_frame(input.bytes(), limit);
    if (frame.outcome == DecodedFrame::Outcome::complete) {
      const bool is_blank_line = framing_ == Framing::lines && frame.body.empty();
      if (!is_blank_line)
        room == Room::enough ? answer(frame.body, out) : answer_busy(frame.body, out);
      input.consume(frame.size);
      ++frames;
    } else if (frame.outcome == DecodedFrame::Outcome::partial) {
      partial = true;
    } else {
      const std::string problem =
          fmt::format("a frame of {} bytes exceeds the limit of {}", frame.body_size, limit);
      refuse({ErrorCode::invalid_request, problem, {}, dialect_}, out);
      state_ = State::refused;
      input.clear();
      partial = true;
    }
  }
  // A frame's deadline counts from its own first byte, not from its latest.
  const bool begins_frame = frames > 0 || !partial_;
  unprocessed_ = !partial && !input.empty();
  keep_rest(input);
  if (partial_ && begins_frame) {
    due_ = deadline_after(service_.reactor.now(), service_.limits.frame_timeout);
  }
  send(out);
  const bool reads_on = state_ == State::open || state_ == State::draining;
  if (reads_on && partial && drained_socket && !unsent_) return wait_for_input();
  return Next::turn;
}

void Session::keep_rest(ReceiveBuffer& input) {
  if (input.empty()) {
    partial_.reset();
  } else if (&input != partial_.get()) {
    partial_ = std::make_unique<ReceiveBuffer>(std::max(kPartialSize, input.bytes().size()));
    partial_->append(input.bytes());
  }
}

Session::Next Session::wait_for_input() {
  if (partial_) {
    if (due_ == kNever)
      due_ = deadline_after(service_.reactor.now(), service_.limits.frame_timeout);
    const TimePoint look = holds_back_calls() ? service_.reactor.now() + kLongCall : kNever;
    arm(Limit::frame, std::min(due_, look));
  } else if (holds_back_calls()) {
    arm_for(Limit::calls, kLongCall);
  } else if (!has_calls()) {
    if (state_ == State::draining) return finish();
    arm_for(Limit::idle, service_.limits.idle_timeout);
  }
  return Next::readable;
}

Session::Next Session::wait_for_calls() {
  if (holds_back_calls()) arm_for(Limit::calls, kLongCall);
  return Next::call_finished;
}

/// The rest of a frame is still awaited: its start is a part of what the process holds.
Session::Next Session::wait_for_memory() {
  paused_ = true;
  ++service_.paused;
  if (!partial_ || unprocessed_) {
    due_ = kNever;
  } else if (due_ == kNever) {
    due_ = deadline_after(service_.reactor.now(), service_.limits.frame_timeout);
  }
  arm(Limit::memory, std::min(due_, service_.reactor.now() + Duration(kMemoryPause)));
  return Next::call_finished;
}

Session::Next Session::finish() {
  if (state_ == State::refused) {
    // Closing with unread input would turn what we wrote into a reset: let the client read first.
    stream_.end_writing();
    state_ = State::lingering;
    due_ = deadline_after(service_.reactor.now(), service_.limits.linger_timeout);
    return linger();
  }
  // No copy of the descriptor in another process can hide this from the client.
  shutdown(stream_.fd(), SHUT_RDWR);
  return Next::end;
}

/// Between two frames, with every reply written.
Session::Next Session::give_back() {
  Connection connection;
  connection.id = id_;
  connection.framing = framing_;
  connection.dialect = dialect_;
  if (partial_) connection.unread.assign(partial_->bytes().begin(), partial_->bytes().end());
  connection.peer = client().get();
  connection.socket = stream_.release();
  returned_ = true;
  service_.on_returned(std::move(connection));
  return Next::end;
}

/// Whoever has given us the connection may not have known.
ClientAddress& Session::client() {
  if (!client_.is_known()) client_ = ClientAddress(peer_address(stream_.fd()));
  return client_;
}

Session::Next Session::linger() {
  if (service_.reactor.now() >= due_) return Next::end;
  service_.input.clear();
  const IoResult result = stream_.try_read(service_.input.room());
  if (result.done()) return Next::turn;
  if (result.outcome != IoResult::Outcome::would_block) return Next::end;
  arm(Limit::linger, due_);
  return Next::readable;
}

void Session::answer(std::string_view body, std::string& out) {
  const ParsedBody parsed = service_.parser.parse(body, dialect_);
  service_.count_requests(parsed.requests.size());
  if (parsed.is_batch) return answer_batch(parsed.requests, out);
  answer_request(parsed.requests.front(), out);
  if (calls_ && !calls_->in_order.empty()) count_reply(calls_->in_order.back());
}

/// A batch gets one answer, as it does when its replies are too long.
void Session::answer_busy(std::string_view body, std::string& out) {
  constexpr std::string_view kBusy = "busy: the server holds as much as it may (--max-memory)";
  const ParsedBody parsed = service_.parser.parse(body, dialect_);
  service_.count_requests(parsed.requests.size());
  if (parsed.is_batch) return refuse({ErrorCode::busy, kBusy, {}, Dialect::json_rpc}, out);
  const ParsedRequest& first = parsed.requests.front();
  if (const auto* bad = std::get_if<BadRequest>(&first)) return refuse(*bad, out);
  const auto& request = std::get<Request>(first);
  dialect_ = request.dialect;
  if (request.is_notification()) return;
  refuse({ErrorCode::busy, kBusy, request.id, request.dialect}, out);
}

Instant Session::instant() const {
  const bool in_line = service_.limits.synchronous && !service_.running.available();
  return in_line ? Instant::waits_in_line : Instant::answers_now;
}

void Session::answer_request(const ParsedRequest& parsed, std::string& out) {
  if (const auto* bad = std::get_if<BadRequest>(&parsed)) return refuse(*bad, out);
  const auto& request = std::get<Request>(parsed);
  dialect_ = request.dialect;
  const bool ordered = request.dialect == Dialect::article && request.id.empty();
  const Dispatched answer = dispatch(*service_.table, request, instant());
  if (const auto* start = std::get_if<StartCall>(&answer)) {
    PendingCall* place = ordered ? &calls().in_order.emplace_back() : nullptr;
    return start_call(*start->method, request,
                      {request.dialect, !request.is_notification(), place, nullptr});
  }
  if (request.is_notification()) return;
  std::string& target = place_for_reply(ordered, out);
  FrameWriter writer(target, framing_);
  append_answer(request, answer, target);
  writer.finish();
}

/// An instant answer, or an error.
void Session::append_answer(const Request& request, const Dispatched& answer,
                            std::string& out) const {
  const std::size_t limit = service_.limits.max_frame;
  if (const auto* reply = std::get_if<InstantReply>(&answer)) {
    append_result(out, {request.dialect, reply->quoted_name, request.id}, reply->json, limit);
  } else {
    append_result(out, {request.dialect, {}, request.id}, std::get<Result>(answer), limit);
  }
}

/// All of them run at a time, as far as they may; the replies go back together.
void Session::answer_batch(std::span<const ParsedRequest> requests, std::string& out) {
  const auto batch = std::make_shared<Batch>();
  std::string reply;
  for (const ParsedRequest& parsed : requests) {
    if (const auto* bad = std::get_if<BadRequest>(&parsed)) {
      append_error(reply, bad->dialect, bad->code, bad->message, {}, bad->id);
      collect(*batch, std::exchange(reply, {}));
      continue;
    }
    const auto& request = std::get<Request>(parsed);
    dialect_ = request.dialect;
    const Dispatched answer = dispatch(*service_.table, request, instant());
    if (const auto* start = std::get_if<StartCall>(&answer)) {
      ++batch->left;
      start_call(*start->method, request,
                 {request.dialect, !request.is_notification(), nullptr, batch});
      continue;
    }
    if (request.is_notification()) continue;
    append_answer(request, answer, reply);
    collect(*batch, std::exchange(reply, {}));
  }
  if (batch->left == 0) return finish_batch(*batch, out);
  calls_->held += batch->counted = batch->replies.size();
}

/// A batch of notifications is not answered at all.
void Session::finish_batch(Batch& batch, std::string& out) {
  if (batch.replies.empty() && !batch.too_long) return;
  FrameWriter writer(out, framing_);
  if (batch.too_long) {
    append_result(out, {.dialect = Dialect::json_rpc}, reply_too_long(service_.limits.max_frame),
                  service_.limits.max_frame);
  } else {
    batch.replies.back() = ']';
    out.append("[").append(batch.replies);
  }
  writer.finish();
}

/// What is too long for one frame is not kept.
void Session::collect(Batch& batch, std::string_view reply) const {
  if (batch.too_long) return;
  batch.replies.append(reply).push_back(',');
  batch.too_long = batch.replies.size() + 1 > service_.limits.max_frame;
  if (batch.too_long) std::string().swap(batch.replies);
}

void Session::refuse(const BadRequest& bad, std::string& out) {
  std::string& target = place_for_reply(bad.dialect == Dialect::article && bad.id.empty(), out);
  FrameWriter writer(target, framing_);
  append_error(target, bad.dialect, bad.code, bad.message, {}, bad.id);
  writer.finish();
}

/// Where a reply that is ready now is written: behind calls that must be answered before it.
std::string& Session::place_for_reply(bool ordered, std::string& out) {
  if (!ordered || !calls_ || calls_->in_order.empty()) return out;
  PendingCall& place = calls_->in_order.emplace_back();
  place.done = true;
  return place.reply;
}

void Session::start_call(const Method& method, const Request& request, ReplyPlace place) {
  Call call;
  call.method = request.method;
  call.params = request.params;
  call.id = request.id;
  call.peer = client().text();
  call.deadline = deadline_after(service_.reactor.now(), service_.limits.call_timeout);
  calls().held += place.counted = size_of(call);
  if (service_.limits.begins_elsewhere) {
    if (!calls_->gate) calls_->gate = std::make_shared<CallGate>();
    call.gate = calls_->gate;
  }
  NextCall next{service_.table, &method, std::move(call), std::move(place)};
  if (client_has_left()) calls().client_left.cancel();
  if (calls_->next.empty() && may_run_another()) {
    run(std::move(next));
  } else {
    calls_->next.push_back(std::move(next));
  }
  service_.call_begins();
}

/// That it has to wait is known at once: whether to read on depends on it.
void Session::run(NextCall next) {
  const bool waits = !service_.running.try_acquire();
  if (!waits) next.turn = SemaphorePlace(service_.running);
  service_.reactor.spawn(run_call(*this, std::move(next)));
  ++calls_->running;
  if (waits) ++calls_->waiting;
}

/// A batch may have more calls than a connection may have running, and long replies may hold up the
/// calls after them.
void Session::start_next_calls() {
  while (!calls_->next.empty() && calls_->running < service_.limits.max_calls &&
         may_begin(executing())) {
    run(std::move(calls_->next.front()));
    calls_->next.pop_front();
  }
}

/// Nothing that is written reaches it. One that has ended its sending side may still read.
bool Session::client_has_left() const {
  return state_ == State::broken || stream_.hung_up();
}

Session::Calls& Session::calls() {
  if (!calls_) calls_ = std::make_unique<Calls>();
  return *calls_;
}

/// Waits for its turn, then runs. Both take from the call's time.
Task<void> Session::run_call(Session& session, NextCall next) {
  std::string id;
  std::string name;
  Result result;
  bool waits = !next.turn;
  try {
    Service& service = session.service_;
    id = next.call.id;
    name = next.method->quoted_name;
    if (name.empty()) name = quoted_reply_name(next.call.method);
    const bool ends_with_client =
        next.place.wanted && next.method->supervision == Supervision::server;
    Cancellation* const client_left = ends_with_client ? &session.calls_->client_left : nullptr;
    std::optional<Semaphore::Outcome> outcome = Semaphore::Outcome::acquired;
    if (waits) {
      const auto waited = co_await race(
          service.reactor, service.running.acquire(next.call.deadline), kNever, client_left);
      outcome = waited.value;
      if (outcome == Semaphore::Outcome::acquired) next.turn = SemaphorePlace(service.running);
      session.call_waits_no_more();
      waits = false;
      if (next.turn && !session.may_begin(session.executing() - 1)) {
        co_return session.wait_again(std::move(next));
      }
    }
    if (!outcome) {
      result = result_for_no_client();
    } else if (*outcome == Semaphore::Outcome::acquired) {
      const SemaphorePlace turn = std::move(next.turn);
      result =
          co_await run_method(service.reactor, *next.method, std::move(next.call), client_left);
    } else if (*outcome == Semaphore::Outcome::full) {
      result = Result::error(ErrorCode::busy, "busy: too many calls wait already");
    } else {
      result = Result::error(ErrorCode::timed_out, "the call did not begin in time");
    }
  } catch (const std::exception& error) {
    session.fail(error.what());
    if (waits) session.call_waits_no_more();
  }
  session.complete(next.place, name, id, result);
}

void Session::call_waits_no_more() {
  --calls_->waiting;
  if (waits_for_call_ && !service_.limits.reads_on_when_full) stream_.interrupt();
}

/// Puts what can be sent now into `out`.
void Session::encode(const ReplyPlace& place, std::string_view name, std::string_view id,
                     const Result& result, std::string& out) {
  std::string& body = service_.body;
  body.clear();
  append_result(body, {place.dialect, name, id}, result, service_.limits.max_frame);
  estimate_.reply_came(body.size());
  if (place.batch) {
    Batch& batch = *place.batch;
    if (place.wanted) collect(batch, body);
    calls_->held -= batch.counted;
    if (--batch.left == 0) {
      finish_batch(batch, out);
    } else {
      calls_->held += batch.counted = batch.replies.size();
    }
  } else if (place.wanted) {
    std::string& target = place.ordered != nullptr ? place.ordered->reply : out;
    FrameWriter writer(target, framing_);
    target.append(body);
    writer.finish();
  }
  if (place.ordered != nullptr) {
    place.ordered->done = true;
    count_reply(*place.ordered);
    std::list<PendingCall>& in_order = calls_->in_order;
    while (!in_order.empty() && in_order.front().done) {
      out.append(in_order.front().reply);
      calls_->held -= in_order.front().counted;
      in_order.pop_front();
    }
  }
}

void Session::complete(const ReplyPlace& place, std::string_view name, std::string_view id,
                       const Result& result) {
  std::string& out = service_.output;
  out.clear();
  const bool was_blocked = unsent_ && !deferred_;
  --calls_->running;
  service_.call_ends();
  calls_->held -= place.counted;
  try {
    if (state_ != State::broken) encode(place, name, id, result, out);
    // What else is answered in this turn goes with it.
    if (calls_->running > 0) {
      defer(out);
    } else {
      send(out);
    }
    start_next_calls();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  count_held();
  if (waits_for_call_) return stream_.interrupt();
  const bool newly_blocked = !was_blocked && unsent_ && !deferred_;
  const bool last = !has_calls();
  if (last) calls_.reset();
  if (newly_blocked || (last && state_ != State::open)) return stream_.interrupt();
  if (last && limit_ == Limit::none) arm_for(Limit::idle, service_.limits.idle_timeout);
}

void Session::defer(std::string_view bytes) {
  if (bytes.empty() || state_ == State::broken) return;
  if (!unsent_) {
    unsent_ = std::make_unique<ByteQueue>();
    deferred_ = true;
    service_.deferring.push_back(this);
  }
  unsent_->append(bytes);
}

/// At the end of a turn.
void Session::send_deferred() {
  deferred_ = false;
  if (!unsent_) return;
  try {
    send_unsent();
    if (calls_) start_next_calls();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  count_held();
  if (unsent_ || state_ == State::broken) stream_.interrupt();
}

bool Service::poll() {
  for (std::size_t i = 0; i < deferring.size(); ++i) deferring[i]->send_deferred();
  deferring.clear();
  return false;
}

/// Replies that wait for an earlier one count like calls.
Session::Room Session::room_for_call() {
  const SessionLimits& limits = service_.limits;
  if (calls_) {
    if (calls_->waiting > 0 && !limits.reads_on_when_full) return Room::calls;
    if (calls_->running + calls_->next.size() >= limits.max_calls) return Room::calls;
    if (calls_->in_order.size() >= limits.max_calls) return Room::calls;
    if (held() >= limits.connection_memory()) return Room::calls;
  }
  if (share_.may_start_call()) return Room::enough;
  const bool holds_nothing = !calls_ && !partial_;
  return holds_nothing && service_.paused >= limits.max_waiting ? Room::none : Room::memory;
}

/// One that has to wait for a place among all that run is asked again when it has got one.
bool Session::may_run_another() {
  if (calls_->running >= service_.limits.max_calls) return false;
  return !service_.running.available() || may_begin(executing());
}

/// Beside so many others of the connection.
bool Session::may_begin(std::size_t others) {
  if (service_.limits.begins_elsewhere || state_ == State::draining) return true;
  return others < most_executing() && (others == 0 || share_.may_start_call());
}

/// As many as keep to the connection's budget, if each of them brings as long a reply as is
/// expected. A connection that holds too much gets on with one, unless it is the client who has to
/// get on. One that drains has no time to wait for its client: what was read of it is executed.
std::size_t Session::most_executing() const {
  if (state_ == State::draining) return service_.limits.max_calls;
  const std::size_t budget = service_.limits.connection_memory();
  const std::size_t used = held();
  if (used >= budget) return unsent_ ? 0 : 1;
  return std::max<std::size_t>((budget - used) / estimate_.bytes(), 1);
}

/// Whether calls wait because those that are executed may bring long replies.
bool Session::holds_back_calls() const {
  if (!calls_ || executing() < most_executing()) return false;
  return service_.limits.begins_elsewhere ? executing() > most_executing() : !calls_->next.empty();
}

/// The call has a place to run, which it gives to the next: its connection holds too much.
void Session::wait_again(NextCall next) {
  next.turn = SemaphorePlace();
  calls_->next.push_back(std::move(next));
  --calls_->running;
}

void Session::count_held() {
  share_.set(held());
  if (!calls_ || !calls_->gate) return;
  const std::size_t most = most_executing();
  const std::size_t before = calls_->gate->allow(most);
  const bool held_up = before < most && before < calls_->running;
  if (held_up && service_.on_calls_allowed) service_.on_calls_allowed();
}

/// Bytes that the connection makes us hold.
std::size_t Session::held() const {
  return (partial_ ? partial_->bytes().size() : 0) + (unsent_ ? unsent_->size() : 0) +
         (calls_ ? calls_->held : 0);
}

/// In what its calls hold.
void Session::count_reply(PendingCall& call) {
  calls_->held += call.reply.size() - call.counted;
  call.counted = call.reply.size();
}

void Session::send(std::string_view bytes) {
  if (bytes.empty() || state_ == State::broken) return;
  if (!unsent_) {
    const IoResult result = stream_.try_write(bytes);
    if (result.outcome == IoResult::Outcome::broken) return set_broken();
    bytes.remove_prefix(result.size);
    if (bytes.empty()) return;
    unsent_ = std::make_unique<ByteQueue>();
  }
  unsent_->append(bytes);
  if (deferred_) send_unsent();
}

void Session::send_unsent() {
  if (std::exchange(deferred_, false)) std::erase(service_.deferring, this);
  const IoResult result = stream_.try_write(unsent_->bytes());
  if (result.outcome == IoResult::Outcome::broken) return set_broken();
  unsent_->consume(result.size);
  if (unsent_->empty()) unsent_.reset();
}

void Session::set_broken() {
  state_ = State::broken;
  if (std::exchange(deferred_, false)) std::erase(service_.deferring, this);
  unsent_.reset();
}

/// A call on this system has failed, or memory is short. The calls that run have to end first.
void Session::fail(std::string_view why) {
  if (state_ == State::broken) return;
  set_broken();
  service_.tell_failed(why);
  if (!calls_) return;
  for (std::size_t i = calls_->next.size(); i > 0; --i) service_.call_ends();
  calls_->next.clear();
}

void Session::arm(Limit limit, TimePoint when) {
  limit_ = limit;
  set(when);
}

void Session::arm_for(Limit limit, Duration duration) {
  arm(limit, deadline_after(service_.reactor.now(), duration));
}

void Session::on_timer() {
  if (limit_ == Limit::none) return;
  try {
    time_out();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  stream_.interrupt();
}

void Session::time_out() {
  switch (limit_) {
    case Limit::none: return;
    case Limit::idle: state_ = State::draining; break;
    case Limit::write:
    case Limit::linger: set_broken(); break;
    case Limit::frame:
    case Limit::memory:
    case Limit::calls:
      if (service_.reactor.now() >= due_) {
        frame_is_late();
      } else if (limit_ != Limit::memory && holds_back_calls()) {
        calls_take_long();
      }
      break;
  }
}

void Session::frame_is_late() {
  service_.output.clear();
  if (framing_ == Framing::unknown) judge(*partial_, service_.output, true);
  if (state_ != State::refused) {
    refuse({ErrorCode::timed_out, "the rest of the frame did not arrive in time", {}, dialect_},
           service_.output);
    state_ = State::refused;
  }
  partial_.reset();
  send(service_.output);
}

/// Unless it is what the connection holds already that leaves no room.
void Session::calls_take_long() {
  const std::size_t least = held() + (executing() + 1) * ReplyEstimate::kLeast;
  if (least <= service_.limits.connection_memory()) estimate_.calls_take_long();
  start_next_calls();
}

}  // namespace handoff
