#include "fusefs/event_loop.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace airlock::fusefs {

void EventLoop::watch(int fd, short events, std::function<void(short)> callback) {
  watches_[fd] = Watch{events, next_serial_++, std::move(callback)};
}

void EventLoop::change(int fd, short events) {
  const auto found = watches_.find(fd);
  if (found != watches_.end()) found->second.events = events;
}

void EventLoop::forget(int fd) {
  watches_.erase(fd);
}

EventLoop::Timer EventLoop::after(std::chrono::milliseconds delay, std::function<void()> callback) {
  const Timer id = next_serial_++;
  alarms_.emplace(Clock::now() + delay, Alarm{id, std::move(callback)});
  return id;
}

void EventLoop::cancel(Timer timer) {
  const auto found = std::find_if(alarms_.begin(), alarms_.end(),
                                  [&](const auto& entry) { return entry.second.id == timer; });
  if (found != alarms_.end()) alarms_.erase(found);
}

void EventLoop::run() {
  while (!stopped_) {
    poll_once();
    ring_due_alarms();
  }
}

void EventLoop::poll_once() {
  std::vector<pollfd> polled;
  std::vector<std::uint64_t> serials;
  polled.reserve(watches_.size());
  serials.reserve(watches_.size());
  for (const auto& [fd, watch] : watches_) {
    polled.push_back({fd, watch.events, 0});
    serials.push_back(watch.serial);
  }
  // EINTR is no event: the alarms are looked at and the loop comes back.
  if (::poll(polled.data(), polled.size(), milliseconds_to_next_alarm()) <= 0) return;
  for (std::size_t i = 0; i < polled.size() && !stopped_; ++i) {
    if (polled[i].revents == 0) continue;
    const auto found = watches_.find(polled[i].fd);
    if (found == watches_.end() || found->second.serial != serials[i]) continue;
    // A copy: the callback may forget its own descriptor.
    const auto callback = found->second.callback;
    callback(polled[i].revents);
  }
}

void EventLoop::ring_due_alarms() {
  const auto now = Clock::now();
  while (!stopped_ && !alarms_.empty() && alarms_.begin()->first <= now) {
    const auto callback = std::move(alarms_.begin()->second.callback);
    alarms_.erase(alarms_.begin());
    callback();
  }
}

int EventLoop::milliseconds_to_next_alarm() const {
  if (alarms_.empty()) return -1;
  const auto left = alarms_.begin()->first - Clock::now();
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<long long>(rounded, 0, 60'000));
}

}  // namespace airlock::fusefs
