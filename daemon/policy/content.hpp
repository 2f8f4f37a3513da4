#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/content_address.hpp"
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

/// Is an archive what its hash and its content address say? `text` is its content when it is one
/// regular file that was kept; only an address of another method than recursive needs it.
[[nodiscard]] bool content_matches(const wire::PathInfo& info, const ContentAddress& address,
                                   const Hash& archive, const std::optional<std::string>& text);
[[nodiscard]] Verdict content_differs(const StoreLayout& layout, const StorePath& path);

}  // namespace airlock::policy
