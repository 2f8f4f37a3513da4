#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <tl/expected.hpp>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// The program that every session's sandbox finds in airlock/bin: a regular file of the host's,
/// opened once, so that a build cannot observe that it is replaced. What it does it does as the
/// build's own user. Safe to use from all threads.
class GuestProgram {
 public:
  /// Throws std::runtime_error when it is not a regular file that can be read.
  explicit GuestProgram(const std::string& path);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Up to size bytes from offset; fewer at the end only.
  [[nodiscard]] tl::expected<std::string, std::errc> read(std::size_t size,
                                                          std::uint64_t offset) const;

 private:
  Fd file_;
  std::uint64_t size_ = 0;
};

}  // namespace airlock::fusefs
