#include "fusefs/closer.hpp"

#include <thread>
#include <utility>

namespace airlock::fusefs {

Closer::Closer() : state_(std::make_shared<State>()) {
  std::thread([state = state_] { run(*state); }).detach();
}

Closer::~Closer() {
  const std::lock_guard lock(state_->mutex);
  state_->stopped = true;
  state_->changed.notify_one();
}

void Closer::close(Fd file) {
  if (file) add({std::move(file), std::nullopt});
}

void Closer::close(boundary::Channel connection) {
  add({Fd(), std::move(connection)});
}

bool Closer::is_stuck() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waiting.size() > most_waiting;
}

void Closer::add(Item item) {
  const std::lock_guard lock(state_->mutex);
  state_->waiting.push_back(std::move(item));
  state_->changed.notify_one();
}

void Closer::run(State& state) {
  std::unique_lock lock(state.mutex);
  for (;;) {
    state.changed.wait(lock, [&] { return state.stopped || !state.waiting.empty(); });
    // What is left then is closed with the process.
    if (state.stopped) return;
    std::optional<Item> item(std::move(state.waiting.front()));
    state.waiting.pop_front();
    lock.unlock();
    item.reset();
    lock.lock();
  }
}

}  // namespace airlock::fusefs
