#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>

namespace airlock {

/// Who may have something fetched now: airlock-fetchd does so many fetches at once, and no build
/// may keep the others from it. A build has at most a few at a time, and the last few places are
/// for builds that have none. Who waits is served in turns: first the build whose last fetch began
/// longest ago, so that a fetch waits for one of every other build, however many those ask for.
/// Thread-safe.
class FetchTurns {
 public:
  static constexpr std::size_t of_one_build = 4;
  /// How often one that waits looks whether its client is still there.
  static constexpr std::chrono::milliseconds look_out{100};

  /// What is to be remembered of a build. Its own to keep, and to be used by this class only.
  class Build {
    friend class FetchTurns;
    std::size_t under_way_ = 0;
    std::uint64_t last_ = 0;  ///< when its last fetch began, or at first when it came to the line
  };

  /// One fetch; the place is given back at its end.
  class Turn {
   public:
    Turn(FetchTurns& turns, Build& build) : turns_(turns), build_(build) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

   private:
    FetchTurns& turns_;
    Build& build_;
  };

  /// Blocks until there is a place for a fetch of this build, which must outlive the turn. Calls
  /// `still_wanted` now and then; what that throws passes through.
  [[nodiscard]] Turn await(Build& build, const std::function<void()>& still_wanted);

 private:
  using Line = std::list<Build*>;
  [[nodiscard]] bool may_begin(const Build& build) const;
  [[nodiscard]] Line::iterator next();

  std::mutex mutex_;  ///< guards what is below, and what builds hold
  std::condition_variable changed_;
  Line line_;
  std::size_t under_way_ = 0;
  std::uint64_t clock_ = 0;  ///< counts the fetches that began
};

}  // namespace airlock
