// SPDX-License-Identifier: MIT
#include "pass/queue_record.hpp"

#include <array>
#include <cstring>
#include <type_traits>

namespace handoff {
namespace {

struct RequestHeader {
  std::uint64_t ticket;
  std::int64_t deadline;
  std::uint32_t method_size;
  std::uint32_t params_size;
  std::uint32_t id_size;
  std::uint32_t peer_size;
};

struct ReplyHeader {
  std::uint64_t ticket;
  std::int32_t code;
  std::uint32_t json_size;
  std::uint32_t message_size;
  std::uint32_t duration;
};

static_assert(sizeof(RequestHeader) <= kQueueRecordSize && sizeof(ReplyHeader) <= kQueueRecordSize);
static_assert(std::has_unique_object_representations_v<RequestHeader> &&
              std::has_unique_object_representations_v<ReplyHeader>);

template <typename Header>
std::string_view bytes_of(const Header& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

template <typename Header>
bool take_header(std::string_view& record, Header& header) {
  if (record.size() < sizeof header) { return false; }
  std::memcpy(&header, record.data(), sizeof header);
  record.remove_prefix(sizeof header);
  return true;
}

std::string_view take(std::string_view& record, std::size_t size) {
  const std::string_view text = record.substr(0, size);
  record.remove_prefix(size);
  return text;
}

std::uint32_t size_of(std::string_view text) {
  return static_cast<std::uint32_t>(text.size());
}

}  // namespace

bool write_request(RingEnd& ring, const QueueRequest& request) {
  const RequestHeader header{request.ticket,          request.deadline,    size_of(request.method),
                             size_of(request.params), size_of(request.id), size_of(request.peer)};
  return ring.write(
      std::array{bytes_of(header), request.method, request.params, request.id, request.peer});
}

bool write_reply(RingEnd& ring, const QueueReply& reply) {
  const ReplyHeader header{reply.ticket, reply.code, size_of(reply.json), size_of(reply.message),
                           reply.duration};
  return ring.write(std::array{bytes_of(header), reply.json, reply.message});
}

bool write_not_begun(RingEnd& ring, std::uint64_t ticket) {
  return write_reply(ring, {ticket, 0, {}, {}, QueueReply::kNotBegun});
}

std::optional<QueueRequest> decode_request(std::string_view record) {
  RequestHeader header{};
  if (!take_header(record, header)) { return std::nullopt; }
  const std::uint64_t size =
      std::uint64_t{header.method_size} + header.params_size + header.id_size + header.peer_size;
  if (size != record.size()) { return std::nullopt; }
  QueueRequest request{header.ticket, header.deadline, {}, {}, {}, {}};
  request.method = take(record, header.method_size);
  request.params = take(record, header.params_size);
  request.id = take(record, header.id_size);
  request.peer = record;
  return request;
}

std::optional<QueueReply> decode_reply(std::string_view record) {
  ReplyHeader header{};
  if (!take_header(record, header)) { return std::nullopt; }
  if (std::uint64_t{header.json_size} + header.message_size != record.size()) {
    return std::nullopt;
  }
  QueueReply reply{header.ticket, header.code, {}, {}, header.duration};
  reply.json = take(record, header.json_size);
  reply.message = record;
  return reply;
}

}  // namespace handoff
