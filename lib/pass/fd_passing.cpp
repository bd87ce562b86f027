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

/// SCM_PIDFD of <linux/socket.h>, which older headers lack.
constexpr int kScmPidfd = 0x04;

/// The room for what the kernel adds if the receiver's socket asks for it, as sockets do that a
/// service manager has made: the sender's credentials, its security label (a page at most), a
/// pidfd, and timestamps. Some of it precedes the descriptors and would take their room.
constexpr std::size_t kAddedByKernel = CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(4096) +
                                       CMSG_SPACE(sizeof(int)) +
                                       2 * CMSG_SPACE(3 * sizeof(timespec));

/// The room for all descriptors that a message can carry, however few the caller asks for: the
/// kernel rounds the room up on some machines, and could install more descriptors than asked for.
/// With this room those are seen and closed.
constexpr std::size_t kControlCapacity =
    CMSG_SPACE(sizeof(int) * kMaxDescriptorsPerMessage) + kAddedByKernel;

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, kControlCapacity> bytes;
};

constexpr const char* kReceive = "receive descriptors";

/// Returns whether the caller's arguments are wrong; no peer can cause these errors.
bool is_misuse(int error) {
  return error == EBADF || error == ENOTSOCK || error == EFAULT || error == EINVAL ||
         error == EMSGSIZE;
}

/// Returns the descriptors of a control message. The kernel may give an odd length if it has cut
/// the list short, so only whole ints are counted.
std::vector<Fd> own_descriptors_of(const cmsghdr& header) {
  const std::size_t count = (header.cmsg_len - CMSG_LEN(0)) / sizeof(int);
  std::vector<Fd> descriptors;
  descriptors.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(&header) + i * sizeof(int), sizeof number);
    descriptors.emplace_back(number);
  }
  return descriptors;
}

/// Takes ownership of each descriptor that arrived with the message, and returns those that the
/// sender has passed. Anything else that the kernel has added is ignored, and is no error.
std::vector<Fd> own_descriptors(msghdr& message) {
  std::vector<Fd> passed;
  std::vector<Fd> pidfd;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) { continue; }
    // There is at most one of each.
    if (header->cmsg_type == SCM_RIGHTS) { passed = own_descriptors_of(*header); }
    if (header->cmsg_type == kScmPidfd) { pidfd = own_descriptors_of(*header); }
  }
  return passed;
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
    // The kernel reads the padding after the last descriptor too.
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
  if (sent >= 0) { return {SendOutcome::sent, static_cast<std::size_t>(sent)}; }
  const int error = errno;
  switch (error) {
    case EAGAIN:
    case ETOOMANYREFS:
    case ENOMEM:
    case ENOBUFS: return {SendOutcome::would_block};
    case EPIPE:
    case ECONNRESET: return {SendOutcome::closed};
    default:
      if (is_misuse(error)) { throw SystemError(error, "pass descriptors"); }
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
  message.msg_controllen = control.bytes.size();
  const int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (how == Receive::look ? MSG_PEEK : 0);
  const ssize_t size = retry([&] { return recvmsg(socket, &message, flags); });
  const int error = errno;
  if (size < 0) {
    if (error == EAGAIN) { return {ReceiveOutcome::would_block, 0, {}}; }
    if (error == ECONNRESET) { return {ReceiveOutcome::reset, 0, {}}; }
    if (is_misuse(error)) { throw SystemError(error, kReceive); }
    const bool passes = error == ENOMEM || error == ENOBUFS;
    return {passes ? ReceiveOutcome::exhausted : ReceiveOutcome::failed, 0, {}, false, error};
  }
  ReceiveResult result{ReceiveOutcome::received, static_cast<std::size_t>(size), {}};
  result.descriptors = own_descriptors(message);
  const bool cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
  if (cut || result.descriptors.size() > max_descriptors) {
    // The buffer had room for everything that a message can carry.
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
  if (result.error_number != 0) { throw SystemError(result.error_number, kReceive); }
}

void drop_message(int socket) {
  // The reset of a sender that has ended is reported first, once; the message is still there then.
  while (recv(socket, nullptr, 0, MSG_DONTWAIT) < 0 && (errno == EINTR || errno == ECONNRESET)) {}
}

}  // namespace handoff
