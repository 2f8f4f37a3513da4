#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fusefs/caller.hpp"

namespace airlock::fusefs {

/// A part of one of our views that a sandbox has mounted.
struct HeldView {
  std::uint64_t device;  ///< the view's, as in FileIdentity
  std::string folder;    ///< which of the names in the view's root
};

/// The view that the sandbox's first process sees at `target`, if it is of one of these devices:
/// what is mounted there, which a builder cannot change but in namespaces of its own.
[[nodiscard]] std::optional<HeldView> held_view(const FirstProcess& first,
                                                const std::string& target,
                                                const std::vector<std::uint64_t>& devices);

/// The same of one line of /proc/PID/mountinfo. Pure.
[[nodiscard]] std::optional<HeldView> held_view_in_line(const std::string& line,
                                                        const std::string& target);

/// The devices of the views that were mounted since the machine was started, in a file beside the
/// session records: a sandbox may outlive the airlock-fs whose view it has. By its device a dead
/// view is known without asking it anything.
class PastViews {
 public:
  explicit PastViews(std::string file) : file_(std::move(file)) {}

  /// Oldest first; what is no number ends the list.
  [[nodiscard]] std::vector<std::uint64_t> load() const;
  /// Throws std::runtime_error with one sentence when it cannot be written.
  void save(const std::vector<std::uint64_t>& devices) const;

 private:
  std::string file_;
};

}  // namespace airlock::fusefs
