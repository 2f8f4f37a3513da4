#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "daemon/mediator/upstream.hpp"
#include "daemon/store/nix_database.hpp"

namespace airlock {

/// What the host knows of store paths: from Nix's database, and from upstream whenever that gives
/// trouble. Uncensored, so never for an answer to a sandbox as it is. Thread-safe.
class PathInfos {
 public:
  /// use_database false: upstream is asked for everything.
  PathInfos(const StoreLayout& layout, const UpstreamFactory& connect, bool use_database = true)
      : layout_(layout), connect_(connect), use_database_(use_database) {}

  /// Without a value the path is not valid. Throws UpstreamLost.
  [[nodiscard]] std::optional<wire::PathInfo> query(const StorePath& path);

  /// Called with each path of a closure that is not valid; may throw.
  using Missing = std::function<void(const StorePath&)>;
  using Sizes = NixDatabase::Sizes;
  /// The paths and all they refer to, but for those, and what only they lead to, that `known`
  /// (may be empty) holds; each with the size of its archive. Nix's database is asked for all of it
  /// at once. Throws UpstreamLost.
  [[nodiscard]] Sizes closure(const std::set<StorePath>& paths, const NixDatabase::Known& known,
                              const Missing& missing);

 private:
  [[nodiscard]] std::optional<Sizes> closure_at_once(const std::set<StorePath>& paths,
                                                     const NixDatabase::Known& known);
  /// With the lock held; nullptr when the database cannot be opened.
  [[nodiscard]] NixDatabase* database();

  const StoreLayout& layout_;
  const UpstreamFactory& connect_;
  bool use_database_;
  std::mutex mutex_;
  std::unique_ptr<NixDatabase> database_;
  std::unique_ptr<Upstream> upstream_;
};

[[nodiscard]] std::set<StorePath> paths_in(const PathInfos::Sizes& sizes);

}  // namespace airlock
