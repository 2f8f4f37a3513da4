#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "daemon/settle/settle.hpp"
#include "tests/unit/settle/private_store.hpp"
#include "tests/unit/skip.hpp"

/// Ends the test case, with the reason, where there can be no private store.
#define NEED_PRIVATE_STORE()                                              \
  if (const auto reason = PrivateStore::unavailable(); !reason.empty()) { \
    airlock::test::skip(reason);                                          \
    return;                                                               \
  }

namespace airlock::test {

inline Settlement settlement(const PrivateStore& store) {
  NixSettings settings;
  REQUIRE(settings.apply_file(store.layout().conf_dir + "/nix.conf").has_value());
  return {store.layout(), PrivateStore::account(), settings};
}

inline tl::expected<Settled, std::string> settle(const PrivateStore& store,
                                                 const StorePath& derivation) {
  return settlement(store).settle(derivation, Occasion::clean_up);
}

/// A build that mentions paths Nix was not told about: text for a script, in which a store path is
/// only its name.
inline std::string hidden(const PrivateStore& store, const StorePath& path) {
  return store.layout().print(path);
}

}  // namespace airlock::test
