// SPDX-License-Identifier: MIT
#include "pass/fd_passing.hpp"

#include <sys/socket.h>

#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "os/error.hpp"

namespace handoff {
namespace {

/// One more than a message can carry, so that a receiver that asks for the most still sees one
/// too many.
constexpr std::size_t kControlCapacity = CMSG_SPACE(sizeof(int) * (kMaxDescriptorsPerMessage + 1));

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, kControlCapacity> bytes;
};

constexpr const char* kReceive = "receive descriptors";

/// Whether the caller's arguments are to blame: they are not, whatever a peer does.
bool is_misuse(int error) {
  return error == EBADF || error == ENOTSOCK || error == EFAULT || error == EINVAL ||
         error == EMSGSIZE;
}

/// Owns each descriptor of a control message. The kernel may give an odd length when it cut the
/// list short, so whole ints are counted.
void own_descriptors(msghdr& message, std::vector<Fd>& descriptors) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    descriptors.reserve(descriptors.size() + count);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + i * sizeof(int), sizeof number);
      descriptors.emplace_back(number);
    }
  }
}

}  // namespace

SendResult send_fds(int socket, std::span<const char> bytes, std::span<const int> descriptors) {
  if (descriptors.size() > kMaxDescriptorsPerMessage) {
    throw std::invalid_argument("at most 253 descriptors fit in a message");
  }
  iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  ControlBuffer control;
  if (!descriptors.empty()) {
    const std::size_t size = sizeof(int) * descriptors.size();
    // The padding behind the last descriptor goes to the kernel too.
    std::memset(control.bytes.data(), 0, CMSG_SPACE(size));
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), descriptors.data(), size);
  }
  const ssize_t sent =
      retry([&] { return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent >= 0) return {SendOutcome::sent, static_cast<std::size_t>(sent)};
  const int error = errno;
  switch (error) {
    case EAGAIN:
    case ETOOMANYREFS:
    case ENOMEM:
    case ENOBUFS: return {SendOutcome::would_block};
    case EPIPE:
    case ECONNRESET: return {SendOutcome::closed};
    default:
      if (is_misuse(error)) throw SystemError(error, "pass descriptors");
      return {SendOutcome::failed, 0, error};
  }
}

ReceiveResult recv_fds(int socket, std::span<char> buffer, std::size_t max_descriptors,
                       Receive how) {
  assert(max_descriptors <= kMaxDescriptorsPerMessage);
  ControlBuffer control;
  iovec vector{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  // Room for one more than asked for: the kernel would round the room up on some machines and
  // install the surplus unseen. This way it is seen, and closed.
  message.msg_controllen = CMSG_SPACE(sizeof(int) * (max_descriptors + 1));
  const int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (how == Receive::look ? MSG_PEEK : 0);
  const ssize_t size = retry([&] { return recvmsg(socket, &message, flags); });
  const int error = errno;
  if (size < 0) {
    if (error == EAGAIN) return {ReceiveOutcome::would_block, 0, {}};
    if (error == ECONNRESET) return {ReceiveOutcome::reset, 0, {}};
    if (is_misuse(error)) throw SystemError(error, kReceive);
    const bool passes = error == ENOMEM || error == ENOBUFS;
    return {passes ? ReceiveOutcome::exhausted : ReceiveOutcome::failed, 0, {}, false, error};
  }
  ReceiveResult result{ReceiveOutcome::received, static_cast<std::size_t>(size), {}};
  own_descriptors(message, result.descriptors);
  const bool cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
  if (cut || result.descriptors.size() > max_descriptors) {
    // There was room in the buffer for one too many.
    result.lacks_descriptors = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == MSG_CTRUNC &&
                               result.descriptors.size() <= max_descriptors;
    result.descriptors.clear();
    result.outcome = ReceiveOutcome::truncated;
  } else if (size == 0 && result.descriptors.empty()) {
    result.outcome = ReceiveOutcome::end;
  }
  return result;
}

void throw_if_failed(const ReceiveResult& result) {
  if (result.error_number != 0) throw SystemError(result.error_number, kReceive);
}

void drop_message(int socket) {
  // The reset by a sender that has died comes first, once; then the message is still there.
  while (recv(socket, nullptr, 0, MSG_DONTWAIT) < 0 && (errno == EINTR || errno == ECONNRESET)) {
  }
}

}  // namespace handoff
