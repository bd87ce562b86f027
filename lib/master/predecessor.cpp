// SPDX-License-Identifier: MIT
#include "master/predecessor.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "os/error.hpp"
#include "os/log.hpp"

namespace handoff {

Predecessor::Predecessor(Reactor& reactor, Owner& owner, Fd channel,
                         std::function<void(std::string_view)> failed)
    : owner_(owner),
      failed_(std::move(failed)),
      link_(std::make_shared<MasterLink>(reactor, static_cast<MasterLink::Owner&>(*this),
                                         std::move(channel))) {}

void Predecessor::start(std::size_t credits) {
  link_->start(credits, 1, false);
}

void Predecessor::say_ready() {
  if (phase_ != Phase::serves) return;
  phase_ = Phase::promised;
  link_->send_ready();
}

void Predecessor::finished(std::uint64_t id) {
  if (link_) link_->finished(id);
}

void Predecessor::accept_asked() {
  if (phase_ == Phase::drains || phase_ == Phase::gone) return;
  phase_ = Phase::drains;
  owner_.predecessor_drains();
}

void Predecessor::master_gone() {
  link_->close();
  link_.reset();
  owner_.predecessor_gone(std::exchange(phase_, Phase::gone));
}

void Predecessor::connections_missed(std::size_t count) {
  failed_(fmt::format("receive {} of the old master: {}", counted(count, "connection"),
                      error_text(EMFILE)));
}

void Predecessor::channel_failed(int error) {
  failed_(fmt::format("the channel to the old master fails: {}", error_text(error)));
}

}  // namespace handoff
