// SPDX-License-Identifier: MIT
#include "rpc/session.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "os/socket.hpp"
#include "rpc/dispatch.hpp"
#include "wire/start.hpp"

namespace handoff {
namespace {

/// A client whose frames keep coming lets the others have a turn after so many.
constexpr int kFramesPerTurn = 64;

/// The first buffer of a frame that did not arrive whole.
constexpr std::size_t kPartialSize = 4096;

std::string too_long(const SessionLimits& limits) {
  return fmt::format("the reply exceeds the limit of {} bytes", limits.max_frame);
}

}  // namespace

Service::Service(Reactor& loop, std::shared_ptr<const Handlers> methods,
                 const SessionLimits& bounds)
    : reactor(loop),
      handlers(std::move(methods)),
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
      service_(opening.service),
      id_(opening.connection.id),
      stream_(service_.reactor, std::move(opening.connection.socket), Stream::Kind::socket),
      partial_(std::move(opening.partial)),
      framing_(opening.connection.framing),
      dialect_(opening.connection.dialect),
      unprocessed_(partial_ != nullptr) {
  service_.sessions.push_back(this);
  if (service_.draining_) state_ = State::draining;
}

Session::~Session() {
  if (deferred_) std::erase(service_.deferring, this);
  service_.sessions[index_] = service_.sessions.back();
  service_.sessions[index_]->index_ = index_;
  service_.sessions.pop_back();
  --service_.open;
  if (!returned_ && service_.on_closed) service_.on_closed(id_);
}

void Session::open(Service& service, LiveConnection connection) {
  const std::uint64_t id = connection.id;
  try {
    std::unique_ptr<ReceiveBuffer> partial;
    if (!connection.read.empty()) {
      partial = std::make_unique<ReceiveBuffer>(connection.read.size());
      partial->append(connection.read);
    }
    // So that there is a place for each that was opened.
    if (service.sessions.capacity() <= service.open) service.sessions.reserve(2 * service.open + 1);
    service.reactor.spawn(serve(
        std::unique_ptr<Opening>(new Opening{service, std::move(connection), std::move(partial)})));
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
  if (calls_ && calls_->running == 0) calls_.reset();
  if (unsent_) send_unsent();
  if (calls_ && client_has_left()) calls_->client_left.cancel();
  if (state_ == State::lingering) return linger();
  if (unsent_) {
    due_ = kNever;  // a frame that we do not read is not late
    arm_for(Limit::write, service_.limits.write_timeout);
    return Next::writable;
  }
  if (state_ == State::draining && service_.gives_back_) {
    return has_calls() ? Next::call_finished : give_back();
  }
  if (state_ == State::open || state_ == State::draining) {
    if (has_room_for_call()) return read_more();
    due_ = kNever;
    return Next::call_finished;
  }
  return has_calls() ? Next::call_finished : finish();
}

Session::Next Session::read_more() {
  ReceiveBuffer& input = partial_ ? *partial_ : service_.input;
  if (!partial_) input.clear();
  // What was left when the last turn ended comes first.
  if (unprocessed_) return process(input, false);
  input.make_room();
  const std::size_t room = input.room().size();
  const IoResult result = stream_.try_read(input.room());
  switch (result.outcome) {
    case IoResult::Outcome::done: {
      const std::span<const char> arrived = input.room().first(result.size);
      input.commit(result.size);
      if (!goes_on(arrived, input)) return process(input, result.size < room);
      return result.size < room ? wait_for_input() : Next::turn;
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
  while (!partial && frames < kFramesPerTurn && out.size() < service_.limits.max_unsent &&
         has_room_for_call()) {
    const std::uint32_t limit = service_.limits.max_frame;
    const DecodedFrame frame = framing_ == Framing::lines ? decode_line(input.bytes(), limit)
                                                          : decode_frame(input.bytes(), limit);
    if (frame.outcome == DecodedFrame::Outcome::complete) {
      const bool is_blank_line = framing_ == Framing::lines && frame.body.empty();
      if (!is_blank_line) answer(frame.body, out);
      input.consume(frame.size);
      ++frames;
    } else if (frame.outcome == DecodedFrame::Outcome::partial) {
      partial = true;
    } else {
      const std::string problem =
          fmt::format("a frame of {} bytes exceeds the limit of {}", frame.size, limit);
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
    arm(Limit::frame, due_);
  } else if (!has_calls()) {
    if (state_ == State::draining) return finish();
    arm_for(Limit::idle, service_.limits.idle_timeout);
  }
  return Next::readable;
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
  LiveConnection connection;
  connection.id = id_;
  connection.framing = framing_;
  connection.dialect = dialect_;
  if (partial_) connection.read.assign(partial_->bytes().begin(), partial_->bytes().end());
  connection.socket = stream_.release();
  returned_ = true;
  service_.on_returned(std::move(connection));
  return Next::end;
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
  const ParsedBody parsed = service_.parser.parse_body(body, dialect_);
  service_.count_requests(parsed.requests.size());
  if (parsed.is_batch) return answer_batch(parsed.requests, out);
  answer_request(parsed.requests.front(), out);
}

void Session::answer_request(const ParsedRequest& parsed, std::string& out) {
  if (const auto* bad = std::get_if<BadRequest>(&parsed)) return refuse(*bad, out);
  const auto& request = std::get<Request>(parsed);
  dialect_ = request.dialect;
  const bool ordered = request.dialect == Dialect::article && request.id.empty();
  const Method* method = service_.handlers->find(request.method);
  if (method == nullptr) {
    if (request.is_notification()) return;
    const std::string problem = no_such_method(request.method);
    return refuse({ErrorCode::method_not_found, problem, request.id, request.dialect}, out);
  }
  if (must_wait(*method)) {
    PendingCall* place = ordered ? &calls().in_order.emplace_back() : nullptr;
    return start_call(*method, request,
                      {request.dialect, !request.is_notification(), place, nullptr});
  }
  const InstantResult result = run_instant(*method, request);
  if (request.is_notification()) return;
  if (const auto* error = std::get_if<Result>(&result)) {
    return refuse({error->code, error->message, request.id, request.dialect}, out);
  }
  std::string& target = place_for_reply(ordered, out);
  FrameWriter writer(target, framing_);
  append_reply(target, request.dialect, method->quoted_name, std::get<std::string_view>(result),
               request.id);
  if (writer.body_size() > service_.limits.max_frame) {
    writer.restart();
    append_error(target, request.dialect, ErrorCode::handler_failed, too_long(service_.limits), {},
                 request.id);
  }
  writer.finish();
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
    const Method* method = service_.handlers->find(request.method);
    if (method != nullptr && must_wait(*method)) {
      ++batch->left;
      start_call(*method, request, {request.dialect, !request.is_notification(), nullptr, batch});
      continue;
    }
    const InstantResult result = method != nullptr ? run_instant(*method, request)
                                                   : Result::error(ErrorCode::method_not_found,
                                                                   no_such_method(request.method));
    if (request.is_notification()) continue;
    if (const auto* error = std::get_if<Result>(&result)) {
      append_error(reply, request.dialect, error->code, error->message, {}, request.id);
    } else {
      append_reply(reply, request.dialect, method->quoted_name, std::get<std::string_view>(result),
                   request.id);
    }
    collect(*batch, std::exchange(reply, {}));
  }
  if (batch->left == 0) finish_batch(*batch, out);
}

/// A batch of notifications is not answered at all.
void Session::finish_batch(Batch& batch, std::string& out) {
  if (batch.replies.empty() && !batch.too_long) return;
  FrameWriter writer(out, framing_);
  if (batch.too_long) {
    append_error(out, Dialect::json_rpc, ErrorCode::handler_failed, too_long(service_.limits), {});
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

/// An instant answer takes no time, and so no place; but a worker that does one thing at a time
/// keeps the order.
bool Session::must_wait(const Method& method) const {
  return method.handler || (service_.limits.synchronous && !service_.running.available());
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
  if (!peer_) peer_ = std::make_unique<std::string>(peer_address(stream_.fd()).text());
  call.peer = *peer_;
  call.deadline = deadline_after(service_.reactor.now(), service_.limits.call_timeout);
  NextCall next{service_.handlers, &method, std::move(call), std::move(place)};
  if (client_has_left()) calls().client_left.cancel();
  if (calls().running < service_.limits.max_calls) {
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

/// A batch may have more calls than a connection may have running.
void Session::start_next_calls() {
  while (!calls_->next.empty() && calls_->running < service_.limits.max_calls) {
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
  session.complete(next.place, name, id, std::move(result));
}

void Session::call_waits_no_more() {
  --calls_->waiting;
  if (waits_for_call_ && !service_.limits.reads_on_when_full) stream_.interrupt();
}

/// Puts what can be sent now into `out`.
void Session::encode(const ReplyPlace& place, std::string_view name, std::string_view id,
                     Result result, std::string& out) {
  std::string& body = service_.body;
  body.clear();
  if (!result.is_error()) {
    append_reply(body, place.dialect, name, result.json, id);
    if (body.size() > service_.limits.max_frame) {
      result = Result::error(ErrorCode::handler_failed, too_long(service_.limits));
      body.clear();
    }
  }
  if (result.is_error()) {
    append_error(body, place.dialect, result.code, result.message, result.json, id);
    if (body.size() > service_.limits.max_frame) {
      body.clear();
      append_error(body, place.dialect, ErrorCode::handler_failed, too_long(service_.limits), {},
                   id);
    }
  }
  if (place.batch) {
    Batch& batch = *place.batch;
    if (place.wanted) collect(batch, body);
    if (--batch.left == 0) finish_batch(batch, out);
  } else if (place.wanted) {
    std::string& target = place.ordered != nullptr ? place.ordered->reply : out;
    FrameWriter writer(target, framing_);
    target.append(body);
    writer.finish();
  }
  if (place.ordered != nullptr) {
    place.ordered->done = true;
    std::list<PendingCall>& in_order = calls_->in_order;
    while (!in_order.empty() && in_order.front().done) {
      out.append(in_order.front().reply);
      in_order.pop_front();
    }
  }
}

void Session::complete(const ReplyPlace& place, std::string_view name, std::string_view id,
                       Result result) {
  std::string& out = service_.output;
  out.clear();
  const bool was_blocked = unsent_ && !deferred_;
  --calls_->running;
  service_.call_ends();
  try {
    if (state_ != State::broken) encode(place, name, id, std::move(result), out);
    start_next_calls();
    // What else is answered in this turn goes with it.
    if (calls_->running > 0) {
      defer(out);
    } else {
      send(out);
    }
  } catch (const std::exception& error) {
    fail(error.what());
  }
  if (waits_for_call_) return stream_.interrupt();
  const bool newly_blocked = !was_blocked && unsent_ && !deferred_;
  const bool last = calls_->running == 0;
  if (last) calls_.reset();
  if (newly_blocked || (last && state_ != State::open)) return stream_.interrupt();
  if (last && limit_ == Limit::none) arm_for(Limit::idle, service_.limits.idle_timeout);
}

void Session::defer(std::string_view bytes) {
  if (bytes.empty() || state_ == State::broken) return;
  if (!unsent_) {
    unsent_ = std::make_unique<std::string>();
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
  } catch (const std::exception& error) {
    fail(error.what());
  }
  if (unsent_ || state_ == State::broken) stream_.interrupt();
}

bool Service::poll() {
  for (std::size_t i = 0; i < deferring.size(); ++i) deferring[i]->send_deferred();
  deferring.clear();
  return false;
}

/// Replies that wait for an earlier one count like calls, and their bytes like unsent ones.
bool Session::has_room_for_call() const {
  if (!calls_) return true;
  std::size_t held = 0;
  for (const PendingCall& call : calls_->in_order) held += call.reply.size();
  if (calls_->waiting > 0 && !service_.limits.reads_on_when_full) return false;
  return calls_->running < service_.limits.max_calls &&
         calls_->in_order.size() < service_.limits.max_calls && held < service_.limits.max_unsent;
}

void Session::send(std::string_view bytes) {
  if (bytes.empty() || state_ == State::broken) return;
  if (!unsent_) {
    const IoResult result = stream_.try_write(bytes);
    if (result.outcome == IoResult::Outcome::broken) return set_broken();
    bytes.remove_prefix(result.size);
    if (bytes.empty()) return;
    unsent_ = std::make_unique<std::string>();
  }
  unsent_->append(bytes);
  if (deferred_) send_unsent();
}

void Session::send_unsent() {
  if (std::exchange(deferred_, false)) std::erase(service_.deferring, this);
  const IoResult result = stream_.try_write(*unsent_);
  if (result.outcome == IoResult::Outcome::broken) return set_broken();
  unsent_->erase(0, result.size);
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
      service_.output.clear();
      if (framing_ == Framing::unknown) judge(*partial_, service_.output, true);
      if (state_ != State::refused) {
        refuse({ErrorCode::timed_out, "the rest of the frame did not arrive in time", {}, dialect_},
               service_.output);
        state_ = State::refused;
      }
      send(service_.output);
      break;
  }
}

}  // namespace handoff
