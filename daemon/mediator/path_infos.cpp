#include "daemon/mediator/path_infos.hpp"

#include <vector>

namespace airlock {

std::optional<wire::PathInfo> PathInfos::query(const StorePath& path) {
  const std::lock_guard lock(mutex_);
  if (auto* nix = database())
    if (auto info = nix->path_info(path)) return *std::move(info);
  if (!upstream_) upstream_ = connect_();
  try {
    auto info = upstream_->query_path_info(path);
    if (!info) throw UpstreamLost(info.error().message);
    return *std::move(info);
  } catch (const UpstreamLost&) {
    upstream_.reset();
    throw;
  }
}

NixDatabase* PathInfos::database() {
  if (!database_ && use_database_)
    if (auto opened = NixDatabase::open(layout_)) database_ = *std::move(opened);
  return database_.get();
}

std::optional<PathInfos::Sizes> PathInfos::closure_at_once(const std::set<StorePath>& paths,
                                                           const NixDatabase::Known& known) {
  const std::lock_guard lock(mutex_);
  auto* nix = database();
  if (nix == nullptr) return std::nullopt;
  auto found = nix->closure(paths, known);
  return found ? *std::move(found) : std::nullopt;
}

PathInfos::Sizes PathInfos::closure(const std::set<StorePath>& paths,
                                    const NixDatabase::Known& known, const Missing& missing) {
  // A path that is not valid there is for upstream to judge, below.
  if (auto found = closure_at_once(paths, known)) return *std::move(found);
  Sizes closure;
  std::vector<StorePath> todo(paths.begin(), paths.end());
  while (!todo.empty()) {
    auto path = std::move(todo.back());
    todo.pop_back();
    if (closure.contains(path) || (known && known(path))) continue;
    const auto info = query(path);
    if (!info) {
      missing(path);
      continue;
    }
    todo.insert(todo.end(), info->references.begin(), info->references.end());
    closure.emplace(std::move(path), info->nar_size);
  }
  return closure;
}

std::set<StorePath> paths_in(const PathInfos::Sizes& sizes) {
  std::set<StorePath> paths;
  for (const auto& [path, size] : sizes) paths.insert(paths.end(), path);
  return paths;
}

}  // namespace airlock
