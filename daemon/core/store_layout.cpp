#include "daemon/core/store_layout.hpp"

#include <cstdlib>
#include <filesystem>

#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

// Nix tidies these the same way; "" counts as unset. A relative one is of no use to anybody.
void take_from_environment(const char* variable, std::string& folder) {
  const char* value = std::getenv(variable);
  if (value == nullptr || value[0] != '/') return;
  folder = std::filesystem::path(value).lexically_normal().string();
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
}

}  // namespace

StoreLayout StoreLayout::from_environment() {
  StoreLayout layout;
  take_from_environment("NIX_STORE_DIR", layout.store_dir);
  take_from_environment("NIX_STATE_DIR", layout.state_dir);
  take_from_environment("NIX_CONF_DIR", layout.conf_dir);
  return layout;
}

std::string StoreLayout::print(const StorePath& path) const {
  return store_dir + '/' + path.base();
}

tl::expected<StorePath, std::string> StoreLayout::parse(std::string_view text) const {
  if (text.size() <= store_dir.size() || !text.starts_with(store_dir) ||
      text[store_dir.size()] != '/') {
    return tl::unexpected(quote(text) + " is not in the store folder " + store_dir);
  }
  auto path = StorePath::parse(text.substr(store_dir.size() + 1));
  if (!path) return tl::unexpected(quote(text) + " is not a store path: " + path.error());
  return path;
}

}  // namespace airlock
