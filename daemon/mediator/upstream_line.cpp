#include "daemon/mediator/upstream_line.hpp"

#include "daemon/policy/settings.hpp"

namespace airlock {

std::unique_ptr<Upstream> SpareUpstream::take(const wire::SetOptions& options) {
  if (auto spare = take_spare(options)) return spare;
  auto made = connect_();
  made->set_options(options);
  return made;
}

std::unique_ptr<Upstream> SpareUpstream::take_spare(const wire::SetOptions& options) {
  std::unique_lock lock(mutex_);
  if (!upstream_ || options_ != options) return nullptr;
  auto spare = std::move(upstream_);
  lock.unlock();
  if (spare->is_idle()) return spare;
  retire(std::move(spare));  // nix-daemon was restarted since
  return nullptr;
}

void SpareUpstream::keep(std::unique_ptr<Upstream> upstream, const wire::SetOptions& options) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      upstream_.swap(upstream);
      options_ = options;
    }
  }
  retire(std::move(upstream));
}

void SpareUpstream::retire(std::unique_ptr<Upstream> upstream) {
  if (upstream) before_closing_();
}

void SpareUpstream::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  upstream_.reset();
}

Upstream& UpstreamLine::get() {
  if (!upstream_) {
    given_ = options_ ? *options_ : policy::unless_asked();
    given_more_ = false;
    upstream_ = spare_.take(given_);
  }
  return *upstream_;
}

void UpstreamLine::set_options(const wire::SetOptions& options) {
  options_ = options;
  if (!upstream_) return;
  upstream_->set_options(options);
  given_more_ = true;
}

void UpstreamLine::leave() {
  if (upstream_ && !given_more_) spare_.keep(std::move(upstream_), given_);
}

}  // namespace airlock
