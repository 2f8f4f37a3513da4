#include "fusefs/mediator_link.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <stdexcept>

#include "fusefs/kernel.hpp"

namespace airlock::fusefs {
namespace {

/// More than this many messages that airlockd does not read means that it has stopped.
constexpr std::size_t max_outgoing = 8192;

bool writable_now(int fd) {
  pollfd polled{fd, POLLOUT, 0};
  return ::poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT) != 0;
}

}  // namespace

MediatorLink::MediatorLink(EventLoop& loop, Fd listening, uid_t user)
    : loop_(loop), listening_(std::move(listening)), user_(user) {
  loop_.watch(listening_.get(), POLLIN, [this](short) { on_connection(); });
}

void MediatorLink::listen() {
  constexpr int backlog = 4;
  if (::listen(listening_.get(), backlog) != 0)
    throw std::runtime_error(failure("listen for airlockd"));
}

MediatorLink::~MediatorLink() {
  if (channel_) loop_.forget(channel_->fd());
  loop_.forget(listening_.get());
}

void MediatorLink::send(boundary::Message message, Fd descriptor) {
  if (!channel_) return;
  outgoing_.push_back({std::move(message), std::move(descriptor)});
  if (outgoing_.size() > max_outgoing) ::shutdown(channel_->fd(), SHUT_RDWR);
  // Sent from the loop, not from here: what is said is done by then, and losing the connection
  // calls the sessions, which are in the middle of something now.
  loop_.change(channel_->fd(), POLLIN | POLLOUT);
}

void MediatorLink::on_connection() {
  Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != user_) {
    spdlog::warn("control: uid {} is not airlockd's user: refused", peer.uid);
    return;
  }
  if (channel_) {
    spdlog::warn("control: an airlockd is connected already: process {} is refused", peer.pid);
    return;
  }
  if (closer_.is_stuck()) {
    spdlog::error("control: what an airlockd has sent cannot be closed: process {} is refused",
                  peer.pid);
    return;
  }
  channel_.emplace(std::move(socket));
  loop_.watch(channel_->fd(), POLLIN, [this](short events) { on_event(events); });
  spdlog::info("control: airlockd is connected (process {})", peer.pid);
  handlers_.connected();
}

void MediatorLink::on_event(short events) {
  if ((events & POLLOUT) != 0) flush();
  if (!channel_ || (events & (POLLIN | POLLHUP | POLLERR)) == 0) return;
  auto received = channel_->receive();
  if (!received) {
    disconnect(received.error());
    return;
  }
  handlers_.received(*received);
  closer_.close(std::move(received->descriptor));
  if (channel_ && closer_.is_stuck()) disconnect("what it has sent cannot be closed");
  flush();
}

void MediatorLink::flush() {
  while (channel_ && !outgoing_.empty() && writable_now(channel_->fd())) {
    const Outgoing next = std::move(outgoing_.front());
    outgoing_.pop_front();
    if (!channel_->send(next.message, next.descriptor.get())) disconnect("it does not read");
  }
  if (!channel_) return;
  if (outgoing_.empty()) loop_.change(channel_->fd(), POLLIN);
}

void MediatorLink::disconnect(const std::string& why) {
  loop_.forget(channel_->fd());
  ::shutdown(channel_->fd(), SHUT_RDWR);
  closer_.close(std::move(*channel_));
  channel_.reset();
  outgoing_.clear();
  spdlog::warn("control: airlockd is gone{}", why.empty() ? "" : ": " + why);
  handlers_.lost();
}

}  // namespace airlock::fusefs
