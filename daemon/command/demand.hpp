#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/config/account.hpp"
#include "daemon/config/config.hpp"

namespace airlock::command {

/// What a derivation wants in its sandbox.
enum class Demand {
  nothing,
  view,
  view_and_etc,  ///< and the view's nix.conf at Nix's configuration folder (airlockEtcNix)
};

/// Whether the text of a .drv file asks for a session. An error: it does, and cannot have one; one
/// sentence for the user.
///
/// A file that nowhere spells a feature's name is not parsed. One could spell it in escapes that
/// Nix would undo, and so have its build refused or run without a view; it gains nothing.
[[nodiscard]] tl::expected<Demand, std::string> asks(const StoreLayout& layout,
                                                     const std::vector<std::string>& features,
                                                     std::string_view text);

/// The same for a file, which a child reads that has become `account` first and holds no other
/// descriptor than the one for its answer: the file is the work of whoever may add to the store.
/// For a single-threaded process.
[[nodiscard]] tl::expected<Demand, std::string> derivation_asks(const Config& config,
                                                                const Account& account,
                                                                const std::string& file);

}  // namespace airlock::command
