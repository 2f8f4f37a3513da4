#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "daemon/core/store_layout.hpp"

namespace airlock::guest {

// Does what a call of an evaluator names lie in the store, all of it? Then the same call means the
// same in any sandbox that has these paths. Pure; decided on the safe side, since a call that is
// not taken for closed is only slower. Each returns the store paths that are named, or nothing.

/// Text in Nix's language. Every slash must belong to a store path without "..", to a
/// <search/path>, or stand between spaces as an operator; so nothing in it, not even a string, can
/// be put together to a path outside. A path that is interpolated is not looked into.
[[nodiscard]] std::optional<std::set<StorePath>> closed_expression(const StoreLayout& layout,
                                                                   std::string_view text);

/// A string that an expression is given: one that is an absolute path must be one in the store.
[[nodiscard]] std::optional<std::set<StorePath>> closed_string(const StoreLayout& layout,
                                                               std::string_view text);

/// The store path that a file's absolute name, without symlinks and "..", is in.
[[nodiscard]] std::optional<StorePath> store_path_of(const StoreLayout& layout,
                                                     std::string_view file);

}  // namespace airlock::guest
