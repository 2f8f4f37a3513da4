#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/content_address.hpp"
#include "daemon/core/hash.hpp"
#include "daemon/core/nar.hpp"
#include "daemon/core/stream.hpp"
#include "daemon/policy/scene.hpp"
#include "daemon/policy/verdict.hpp"
#include "daemon/wire/messages.hpp"

/// What is decided of an upload by its content, in every profile.
namespace airlock::policy {

/// A derivation by its text, which is empty when what was sent is not one regular file of a size
/// that a derivation may have. Its parsed form, or the refusal.
[[nodiscard]] tl::expected<Derivation, Verdict> add_derivation_text(
    std::string_view name, const std::optional<std::string>& text,
    const std::set<StorePath>& references, const Scene& scene);

/// Hashes an archive as it passes on its way, by all that its path info says of it. The address's
/// algorithm must be one that Hasher computes. Keeps references to what it is given; not
/// thread-safe.
class ArchiveCheck final : public Sink {
 public:
  ArchiveCheck(Sink& next, const wire::PathInfo& info, const ContentAddress& address);
  void write(std::string_view bytes) override;
  /// Once, when all has passed: is the archive what its hash, its size and its content address say?
  /// `file` is what it holds when it is one regular file that was kept; only an address of another
  /// method than recursive needs it, which is that of a file that is not executable.
  [[nodiscard]] bool matches(const std::optional<SingleFile>& file);

 private:
  Sink& next_;
  const wire::PathInfo& info_;
  const ContentAddress& address_;
  Hasher archive_;
  std::uint64_t size_ = 0;
  std::optional<Hasher> addressed_;  ///< the same archive by the address's algorithm, when another
};
[[nodiscard]] Verdict content_differs(const StoreLayout& layout, const StorePath& path);

}  // namespace airlock::policy
