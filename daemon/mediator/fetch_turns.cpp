#include "daemon/mediator/fetch_turns.hpp"

#include "daemon/fetch/conversation.hpp"

namespace airlock {

FetchTurns::Turn::~Turn() {
  {
    const std::lock_guard lock(turns_.mutex_);
    --build_.under_way_;
    --turns_.under_way_;
  }
  turns_.changed_.notify_all();
}

FetchTurns::Turn FetchTurns::await(Build& build, const std::function<void()>& still_wanted) {
  std::unique_lock lock(mutex_);
  if (build.last_ == 0) build.last_ = clock_;
  const auto own = line_.insert(line_.end(), &build);
  try {
    while (next() != own) {
      lock.unlock();
      still_wanted();
      lock.lock();
      if (next() != own) changed_.wait_for(lock, look_out);
    }
  } catch (...) {
    lock.lock();
    line_.erase(own);
    changed_.notify_all();  // another one may be the next now
    throw;
  }
  line_.erase(own);
  build.last_ = ++clock_;
  ++build.under_way_;
  ++under_way_;
  changed_.notify_all();
  return {*this, build};
}

bool FetchTurns::may_begin(const Build& build) const {
  if (under_way_ >= fetch::most_at_once) return false;
  if (build.under_way_ == 0) return true;
  return build.under_way_ < of_one_build && under_way_ + of_one_build < fetch::most_at_once;
}

/// Of those that may begin the one whose build has waited longest; the end where there is none.
FetchTurns::Line::iterator FetchTurns::next() {
  auto best = line_.end();
  for (auto one = line_.begin(); one != line_.end(); ++one)
    if (may_begin(**one) && (best == line_.end() || (*one)->last_ < (*best)->last_)) best = one;
  return best;
}

}  // namespace airlock
