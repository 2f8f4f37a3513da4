#include "daemon/policy/fetching.hpp"

#include <fmt/format.h>

#include "daemon/policy/rules.hpp"

namespace airlock::policy {

Verdict fetch_locked(const StorePath& path, std::string_view url, std::string_view scheme,
                     const FetchConfig& config, const Scene& scene) {
  if (scene.is_own_output(path)) return own_output(scene.layout().print(path));
  if (scene.fixed_output() == FixedOutputPolicy::closed)
    return {Decision::deny, "fixed-output-closed",
            fmt::format(
                "{} is locked and not an input of this build, and nothing is fetched for it", url),
            "make it an input of the derivation that runs Nix, or set fixed-output, or "
            "airlockFixedOutput, to \"sealed\""};
  if (!config.allows(scheme))
    return {Decision::deny, "fetch-scheme",
            fmt::format("{} is locked, and its scheme is not among fetch.schemes", url),
            fmt::format("lock an https:// URL, or add \"{}\" to fetch.schemes in {}", scheme,
                        Config::default_file)};
  return {Decision::allow, "fetch-locked", {}, {}};
}

}  // namespace airlock::policy
