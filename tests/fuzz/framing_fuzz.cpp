// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <handoff/wire/dialect.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>
#include <handoff/wire/limits.hpp>
#include <handoff/wire/request.hpp>

#include "fuzz/judge.hpp"
#include "fuzz/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/framing.hpp"
#include "wire/message_writer.hpp"
#include "wire/receive_buffer.hpp"
#include "wire/reply.hpp"
#include "wire/start.hpp"

/// A whole connection as rpc/session.cpp reads it: what the client sent, in frames or in lines and
/// in either dialect, is answered in the same, and the same however it arrives and whoever reads
/// on; and a stranger gets one answer.
namespace handoff::fuzz {
namespace {

using Outcome = DecodedFrame::Outcome;

/// The first buffer of a frame that did not arrive whole. A session's is larger, and seldom full.
constexpr std::size_t kPartialSize = 8;

/// Answers each request with its params.
class Server {
 public:
  Server(std::uint32_t max_frame, Framing expected, std::size_t room)
      : max_frame_(max_frame), expected_(expected), input_(room) {}

  void receive(std::string_view piece) {
    if (refused_) { return; }
    if (!partial_) { input_.get().clear(); }
    WatchedBuffer& input = partial_ ? *partial_ : input_;
    input.receive(piece);
    const bool goes_on = framing_ == Framing::lines && partial_ &&
                         input.text().size() <= max_frame_ &&
                         piece.find('\n') == std::string_view::npos;
    if (goes_on) {
      const DecodedFrame line = decode_line(input.get().bytes(), max_frame_);
      return check(line.outcome == Outcome::partial, "a line goes on where no newline came");
    }
    process(input);
  }

  /// The client sends no more; the last line needs no newline.
  void end() {
    if (refused_ || !partial_) { return; }
    ended_ = true;
    process(*partial_);
    check(framing_ != Framing::unknown || refused_, "what has ended is judged");
    check(framing_ == Framing::length || !partial_, "nothing is left of lines that have ended");
  }

  Framing framing() const { return framing_; }
  bool refused() const { return refused_; }
  bool is_stranger() const { return refused_ && framing_ == Framing::unknown; }
  /// Goes on as another worker does that the connection was moved to.
  void move() {
    if (refused_) { return; }
    if (partial_) {
      auto moved = std::make_unique<WatchedBuffer>(partial_->text().size());
      moved->append(partial_->text());
      partial_ = std::move(moved);
      process(*partial_);
    }
    parser_ = std::make_unique<RequestParser>();
  }
  std::size_t replies() const { return replies_; }
  const std::string& out() const { return out_; }

 private:
  void process(WatchedBuffer& input) {
    if (framing_ == Framing::unknown) { judge(input); }
    if (ended_ && framing_ == Framing::lines) { input.append("\n"); }
    while (!refused_ && framing_ != Framing::unknown) {
      const bool is_line = framing_ == Framing::lines;
      const DecodedFrame frame = is_line ? decode_line(input.get().bytes(), max_frame_)
                                         : decode_frame(input.get().bytes(), max_frame_);
      if (frame.outcome == Outcome::partial) { break; }
      if (frame.outcome == Outcome::oversized) {
        refuse({ErrorCode::invalid_request, "too long", {}, dialect_});
        refused_ = true;
        input.get().clear();
        break;
      }
      check(frame.size > 0 && frame.size <= input.text().size(), "each frame takes bytes");
      if (!is_line || !frame.body.empty()) { answer(frame.body); }
      input.get().consume(frame.size);
    }
    keep_rest(input);
  }

  void judge(WatchedBuffer& input) {
    const JudgedStart judged = judge_start(input.get().bytes(), expected_,
                                           ended_ ? MoreBytes::none_follow : MoreBytes::may_follow);
    switch (judged.start) {
      case Start::undecided: break;
      case Start::lines: framing_ = Framing::lines; break;
      case Start::length: framing_ = Framing::length; break;
      case Start::stranger:
        check(out_.empty(), "only the start can be a stranger's");
        append_answer_to_stranger(out_, input.get().bytes());
        refused_ = true;
        return input.get().clear();
    }
    input.get().consume(judged.blanks);
    check(framing_ != Framing::unknown || input.text().size() < 8, "what is undecided is short");
  }

  void keep_rest(WatchedBuffer& input) {
    if (input.text().empty()) {
      partial_.reset();
    } else if (&input != partial_.get()) {
      partial_ = std::make_unique<WatchedBuffer>(std::max(kPartialSize, input.text().size()));
      partial_->append(input.text());
    }
  }

  void answer(std::string_view body) {
    const ParsedBody parsed = parser_->parse(body, dialect_);
    check(!parsed.requests.empty(), "a body has a request");
    if (parsed.is_batch) { return answer_batch(parsed); }
    check(parsed.requests.size() == 1, "a body that is no batch has one");
    if (const auto* bad = std::get_if<BadRequest>(&parsed.requests.front())) {
      return refuse(*bad);
    }
    const auto& request = std::get<Request>(parsed.requests.front());
    dialect_ = request.dialect;
    if (request.is_notification()) { return; }
    FrameWriter writer(out_, framing_);
    append_reply(out_, dialect_, quote_json(request.method), request.params, request.id);
    writer.finish();
    ++replies_;
  }

  void answer_batch(const ParsedBody& parsed) {
    dialect_ = Dialect::json_rpc;
    std::string replies;
    for (const ParsedRequest& each : parsed.requests) {
      if (const auto* bad = std::get_if<BadRequest>(&each)) {
        append_error(replies, bad->dialect, bad->code, bad->message, {}, bad->id);
      } else if (const auto& request = std::get<Request>(each); !request.is_notification()) {
        append_reply(replies, request.dialect, "", request.params, request.id);
      } else {
        continue;
      }
      replies.push_back(',');
    }
    if (replies.empty()) { return; }
    replies.back() = ']';
    FrameWriter writer(out_, framing_);
    out_.append("[").append(replies);
    writer.finish();
    ++replies_;
  }

  void refuse(const BadRequest& bad) {
    FrameWriter writer(out_, framing_);
    append_error(out_, bad.dialect, bad.code, bad.message, {}, bad.id);
    writer.finish();
    ++replies_;
  }

  std::uint32_t max_frame_;
  Framing expected_;
  WatchedBuffer input_;
  std::unique_ptr<WatchedBuffer> partial_;
  std::unique_ptr<RequestParser> parser_ = std::make_unique<RequestParser>();
  Framing framing_ = Framing::unknown;
  Dialect dialect_ = Dialect::article;
  bool refused_ = false;
  bool ended_ = false;
  std::size_t replies_ = 0;
  std::string out_;
};

/// What the client gets, it can read.
void check_replies(const Server& server) {
  if (server.is_stranger()) {
    const bool is_http = server.out().starts_with("HTTP/1.1 400 ");
    const std::string line = is_http ? "{}\n" : server.out();
    check(line.find('\n') == line.size() - 1, "a stranger gets one line");
    return check(value_of(line).is_object(), "the line is a reply");
  }
  ReceiveBuffer buffer(server.out().size());
  buffer.append(server.out());
  ReplyParser parser;
  std::size_t replies = 0;
  while (!buffer.empty()) {
    const DecodedFrame frame = server.framing() == Framing::lines
                                   ? decode_line(buffer.bytes(), limits::kHighestMaxFrame)
                                   : decode_frame(buffer.bytes(), limits::kHighestMaxFrame);
    check(frame.outcome == Outcome::complete, "replies are whole frames");
    if (frame.body.starts_with('[')) {
      const json batch = value_of(frame.body);
      check(!batch.empty(), "a batch of replies is not empty");
    } else {
      parser.parse(frame.body);
    }
    buffer.consume(frame.size);
    ++replies;
  }
  check(replies == server.replies(), "each reply is a frame of its own");
}

void run(std::string_view input, std::uint32_t max_frame, Framing expected) {
  Server whole(max_frame, expected, input.size() + 1);
  whole.receive(input);
  whole.end();
  check_replies(whole);

  Pieces pieces(input);
  Server server(max_frame, expected, 1 + pieces.below(64));
  while (!pieces.done()) {
    server.receive(pieces.next());
    if (pieces.below(8) == 0) { server.move(); }
  }
  server.end();
  check(server.framing() == whole.framing(), "the framing is told however the bytes come");
  check(server.refused() == whole.refused(), "a stream is refused however it comes");
  check(server.out() == whole.out(), "a stream is answered in the same way however it comes");
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using handoff::Framing;
  const std::string_view input = handoff::fuzz::text_of(data, size);
  for (const std::uint32_t max_frame : {64U, handoff::limits::kMaxFrame}) {
    handoff::fuzz::run(input, max_frame, Framing::unknown);
  }
  handoff::fuzz::run(input, 64U, Framing::length);
  handoff::fuzz::run(input, 64U, Framing::lines);
  return 0;
}
