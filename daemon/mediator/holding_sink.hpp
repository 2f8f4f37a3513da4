#pragma once

#include <string>
#include <string_view>

#include "daemon/core/stream.hpp"

namespace airlock {

/// Keeps what is written, at most 1 MiB, until release is called; what does not fit passes through,
/// after what was kept. So an archive of ordinary size can be judged before upstream gets any of
/// it: Nix unpacks one under its path's name as it comes, and leaves there what it has when it
/// fails. Not thread-safe; what is still kept at the end is dropped.
class HoldingSink final : public Sink {
 public:
  explicit HoldingSink(Sink& next) : next_(next) {}
  void write(std::string_view bytes) override {
    if (holding_ && held_.size() + bytes.size() > most_) release();
    if (holding_)
      held_.append(bytes);
    else
      next_.write(bytes);
  }
  void release() {
    next_.write(held_);
    held_ = {};
    holding_ = false;
  }
  [[nodiscard]] bool is_holding() const { return holding_; }

 private:
  static constexpr std::size_t most_ = 1 << 20;
  Sink& next_;
  std::string held_;
  bool holding_ = true;
};

}  // namespace airlock
