#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/graft/store_mounts.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

inline constexpr const char* sandbox_gone =
    "the sandbox's folder, or the store folder in it, is gone";

/// One store path to be made readable at its real name in one sandbox.
struct GraftRequest {
  StorePath path;
  StorePath derivation;  ///< whose sandbox it is
  FileIdentity chroot;   ///< the folder the sandbox is rooted in
  int first_process;     ///< a pidfd
};

/// A folder of the view, to be put over the part of a dead view that a sandbox has.
struct ViewRequest {
  std::string folder;               ///< a name in the view's root
  std::vector<std::uint64_t> dead;  ///< the devices of views that are dead
  int first_process;                ///< a pidfd
};

/// The store folder in the folder that a sandbox is rooted in; not open when it is gone. store:
/// that folder of the host's, on a writable mount. No mount that a sandbox made is on the way.
[[nodiscard]] Fd open_store_of_sandbox(int store, const std::string& store_dir,
                                       const StorePath& derivation, FileIdentity chroot);

/// Gives a file or symlink one more name, in the sandbox's store folder, opened from the same
/// mount. Waits for no sandbox. True also when it is there already; false when it takes a Graft:
/// for a folder, or where no link can be made. The error is one sentence.
[[nodiscard]] tl::expected<bool, std::string> link_file(int store, int target,
                                                        const StorePath& path);

/// Makes grafts. It changes the mount namespace of the calling thread back and forth, and walks
/// names in folders that a sandbox arranged, which may take forever: only in a process of its own,
/// with a deadline kept by another.
class Graft {
 public:
  /// may_link false: copy files, as where hard links cannot be made.
  Graft(StoreMounts mounts, GraftSources sources, bool may_link)
      : mounts_(std::move(mounts)),
        store_dir_(std::move(sources.store_dir)),
        view_target_(std::move(sources.view_target)),
        may_link_(may_link) {}

  /// The writable one, for link_file.
  [[nodiscard]] int store() const { return mounts_.writable_store.get(); }

  /// Succeeds also when the path is there already. The error is one sentence.
  [[nodiscard]] tl::expected<void, std::string> make(const GraftRequest& request) const;
  /// Covers a dead view, and nothing else; succeeds also when the folder is there already.
  [[nodiscard]] tl::expected<void, std::string> put_back(const ViewRequest& request) const;

 private:
  [[nodiscard]] tl::expected<void, std::string> mount(const GraftRequest& request) const;

  StoreMounts mounts_;
  std::string store_dir_;
  std::string view_target_;
  bool may_link_;
};

}  // namespace airlock::fusefs
