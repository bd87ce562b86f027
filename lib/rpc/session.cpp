// SPDX-License-Identifier: MIT
#include "rpc/session.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// A client whose frames keep coming lets the others have a turn after so many.
constexpr int kFramesPerTurn = 64;

/// The first buffer of a frame that did not arrive whole.
constexpr std::size_t kPartialSize = 4096;

/// How much of a name that a client sent is worth repeating to it.
constexpr std::size_t kMaxNameInMessage = 100;

std::string too_long(const SessionLimits& limits) {
  return fmt::format("the reply exceeds the limit of {} bytes", limits.max_frame);
}

}  // namespace

void Service::drain() {
  draining = true;
  for (Session* session : sessions) session->drain();
}

Session::Session(Service& service, Fd socket, std::uint64_t id)
    : Timer(service.reactor),
      service_(service),
      id_(id),
      stream_(service.reactor, std::move(socket), Stream::Kind::socket),
      index_(static_cast<std::uint32_t>(service.sessions.size())) {
  service.sessions.push_back(this);
  if (service.draining) state_ = State::draining;
}

Session::~Session() {
  service_.sessions[index_] = service_.sessions.back();
  service_.sessions[index_]->index_ = index_;
  service_.sessions.pop_back();
  --service_.open;
  if (service_.on_closed) service_.on_closed(id_);
}

void Session::open(Service& service, Fd socket, std::uint64_t id) {
  ++service.open;
  service.reactor.spawn(serve(service, std::move(socket), id));
}

Task<void> Session::serve(Service& service, Fd socket, std::uint64_t id) {
  Session session(service, std::move(socket), id);
  for (;;) {
    switch (session.step()) {
      case Next::readable: co_await session.stream_.readable(); break;
      case Next::writable: co_await session.stream_.writable(); break;
      case Next::turn: co_await service.reactor.yield(); break;
      case Next::call_finished:
        session.waits_for_call_ = true;
        session.calls_->one_finished.clear();
        co_await session.calls_->one_finished;
        session.waits_for_call_ = false;
        break;
      case Next::end: co_return;
    }
  }
}

void Session::drain() {
  if (state_ != State::open) return;
  state_ = State::draining;
  stream_.interrupt();
}

Session::Next Session::step() {
  limit_ = Limit::none;
  if (calls_ && calls_->running == 0) calls_.reset();
  if (!unsent_.empty()) send_unsent();
  if (state_ == State::lingering) return linger();
  if (!unsent_.empty()) {
    due_ = kNever;  // a frame that we do not read is not late
    arm_for(Limit::write, service_.limits.write_timeout);
    return Next::writable;
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
    case IoResult::Outcome::done:
      input.commit(result.size);
      return process(input, result.size < room);
    case IoResult::Outcome::would_block: return wait_for_input();
    case IoResult::Outcome::end:
      // A frame that was cut off can't be answered, and nobody waits for the answer.
      state_ = State::ended;
      return Next::turn;
    case IoResult::Outcome::broken: set_broken(); return Next::turn;
  }
  return Next::end;
}

Session::Next Session::process(ReceiveBuffer& input, bool drained_socket) {
  std::string& out = service_.output;
  out.clear();
  int frames = 0;
  bool partial = false;
  while (!partial && frames < kFramesPerTurn && out.size() < service_.limits.max_unsent &&
         has_room_for_call()) {
    const DecodedFrame frame = decode_frame(input.bytes(), service_.limits.max_frame);
    if (frame.outcome == DecodedFrame::Outcome::complete) {
      answer(frame.body, out);
      input.consume(frame.size);
      ++frames;
    } else if (frame.outcome == DecodedFrame::Outcome::partial) {
      partial = true;
    } else {
      answer_error(ErrorCode::invalid_request,
                   fmt::format("a frame of {} bytes exceeds the limit of {}", frame.size,
                               service_.limits.max_frame),
                   {}, place_for_reply(true, out));
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
  if (reads_on && partial && drained_socket && unsent_.empty()) return wait_for_input();
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
  ++service_.requests;
  const auto parsed = service_.parser.parse_request(body);
  if (const auto* bad = std::get_if<BadRequest>(&parsed)) {
    return answer_error(bad->code, bad->message, bad->id, place_for_reply(bad->id.empty(), out));
  }
  const auto& request = std::get<Request>(parsed);
  const bool ordered = request.id.empty();
  const Method* method = service_.handlers.find(request.method);
  if (method == nullptr) {
    return answer_error(
        ErrorCode::method_not_found,
        fmt::format("no such method: {}", request.method.substr(0, kMaxNameInMessage)), request.id,
        place_for_reply(ordered, out));
  }
  if (method->handler || !service_.running.available()) {
    if (!calls_) calls_ = std::make_unique<Calls>(service_.reactor);
    return start_call(*method, request, ordered ? &calls_->in_order.emplace_back() : nullptr);
  }
  std::string& target = place_for_reply(ordered, out);
  FrameWriter writer(target);
  append_reply(target, method->quoted_name, method->instant(request), request.id);
  if (writer.body_size() <= service_.limits.max_frame) return writer.finish();
  writer.discard();
  answer_error(ErrorCode::handler_failed, too_long(service_.limits), request.id, target);
}

void Session::answer_error(ErrorCode code, std::string_view message, std::string_view id,
                           std::string& out) {
  FrameWriter writer(out);
  append_error(out, code, message, {}, id);
  writer.finish();
}

/// Where a reply that is ready now is written: behind calls that must be answered before it.
std::string& Session::place_for_reply(bool ordered, std::string& out) {
  if (!ordered || !calls_ || calls_->in_order.empty()) return out;
  PendingCall& place = calls_->in_order.emplace_back();
  place.done = true;
  return place.reply;
}

void Session::start_call(const Method& method, const Request& request, PendingCall* place) {
  ++calls_->running;
  Call call;
  call.method = request.method;
  call.params = request.params;
  call.id = request.id;
  call.peer = peer_address(stream_.fd()).text();
  call.deadline = deadline_after(service_.reactor.now(), service_.limits.call_timeout);
  service_.reactor.spawn(run_call(*this, method, std::move(call), place));
}

Task<void> Session::run_call(Session& session, const Method& method, Call call,
                             PendingCall* place) {
  Service& service = session.service_;
  const std::string id = call.id;
  std::string reply;
  FrameWriter writer(reply);
  Result result;
  if (!co_await service.running.acquire()) {
    result = Result::error(ErrorCode::busy, "busy: too many calls wait already");
  } else {
    try {
      if (method.instant) {
        const Request request{call.method, call.params, call.id};
        result = Result::success(std::string(method.instant(request)));
      } else {
        result = co_await method.handler(std::move(call));
      }
    } catch (const std::exception& error) {
      result = Result::error(ErrorCode::internal_error, error.what());
    }
    service.running.release();
  }
  if (!result.is_error()) {
    append_reply(reply, method.quoted_name, result.json, id);
    if (writer.body_size() > service.limits.max_frame) {
      result = Result::error(ErrorCode::handler_failed, too_long(service.limits));
      reply.resize(frame::kHeaderSize);
    }
  }
  if (result.is_error()) append_error(reply, result.code, result.message, result.json, id);
  writer.finish();
  session.complete(place, std::move(reply));
}

void Session::complete(PendingCall* place, std::string reply) {
  std::string out;
  if (place == nullptr) {
    out = std::move(reply);
  } else {
    place->reply = std::move(reply);
    place->done = true;
    std::list<PendingCall>& in_order = calls_->in_order;
    while (!in_order.empty() && in_order.front().done) {
      out.append(in_order.front().reply);
      in_order.pop_front();
    }
  }
  const bool was_blocked = !unsent_.empty();
  send(out);
  --calls_->running;
  if (waits_for_call_) return calls_->one_finished.set();
  const bool newly_blocked = !was_blocked && !unsent_.empty();
  const bool last = calls_->running == 0;
  if (last) calls_.reset();
  if (newly_blocked || (last && state_ != State::open)) return stream_.interrupt();
  if (last && limit_ == Limit::none) arm_for(Limit::idle, service_.limits.idle_timeout);
}

/// Replies that wait for an earlier one count like calls, and their bytes like unsent ones.
bool Session::has_room_for_call() const {
  if (!calls_) return true;
  std::size_t held = 0;
  for (const PendingCall& call : calls_->in_order) held += call.reply.size();
  return calls_->running < service_.limits.max_calls &&
         calls_->in_order.size() < service_.limits.max_calls && held < service_.limits.max_unsent;
}

void Session::send(std::string_view bytes) {
  if (bytes.empty() || state_ == State::broken) return;
  if (unsent_.empty()) {
    const IoResult result = stream_.try_write(bytes);
    if (result.outcome == IoResult::Outcome::broken) return set_broken();
    bytes.remove_prefix(result.size);
  }
  unsent_.append(bytes);
}

void Session::send_unsent() {
  const IoResult result = stream_.try_write(unsent_);
  if (result.outcome == IoResult::Outcome::broken) return set_broken();
  unsent_.erase(0, result.size);
  if (unsent_.empty()) std::string().swap(unsent_);
}

void Session::set_broken() {
  state_ = State::broken;
  std::string().swap(unsent_);
}

void Session::arm(Limit limit, TimePoint when) {
  limit_ = limit;
  set(when);
}

void Session::arm_for(Limit limit, Duration duration) {
  arm(limit, deadline_after(service_.reactor.now(), duration));
}

void Session::on_timer() {
  switch (limit_) {
    case Limit::none: return;
    case Limit::idle: state_ = State::draining; break;
    case Limit::write:
    case Limit::linger: set_broken(); break;
    case Limit::frame:
      service_.output.clear();
      answer_error(ErrorCode::timed_out, "the rest of the frame did not arrive in time", {},
                   place_for_reply(true, service_.output));
      state_ = State::refused;
      send(service_.output);
      break;
  }
  stream_.interrupt();
}

}  // namespace handoff
