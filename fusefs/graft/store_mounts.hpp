#pragma once

#include <string>

#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

/// Where grafts are taken from, as the helper is told.
struct GraftSources {
  std::string store_dir;
  std::string view;         ///< where airlock-fs has mounted its view
  std::string view_target;  ///< where sandboxes have a part of it: /nix/var
};

/// The helper's two views of the store, in mount namespaces of its own.
struct StoreMounts {
  /// Our namespace, and in it the store folder (O_PATH) on a mount that may be written: NixOS
  /// mounts the store read-only, and hard links are made from here.
  Fd own_namespace;
  Fd writable_store;
  /// A namespace that belongs to another user namespace, and in it the store folder (O_PATH) on a
  /// read-only mount. See below.
  Fd holder_namespace;
  Fd locked_store;
  Fd locked_view;  ///< the root of airlock-fs's view there, likewise
};

/// Leaves the mount namespace that we share with the host and makes both. Single-threaded processes
/// only. Throws std::runtime_error with one sentence.
///
/// The holder's namespace is what keeps a graft read-only. A mount that is cloned straight from the
/// host may be remounted writable by root of a user namespace made inside the sandbox. When a mount
/// namespace is made together with a user namespace, the kernel locks the flags of the mounts that
/// it copies into it, and a clone of such a mount keeps the locks. The process that makes the
/// namespace ends at once; the descriptor keeps the namespace.
[[nodiscard]] StoreMounts make_store_mounts(const GraftSources& sources);

}  // namespace airlock::fusefs
