#pragma once

#include <string>
#include <tl/expected.hpp>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/graft/store_mounts.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

/// One store path to be made readable at its real name in one sandbox.
struct GraftRequest {
  StorePath path;
  StorePath derivation;  ///< whose sandbox it is
  FileIdentity chroot;   ///< the folder the sandbox is rooted in
  int first_process;     ///< a pidfd
};

/// Makes grafts. It changes the mount namespace of the calling thread back and forth, and walks
/// names in folders that a sandbox arranged, which may take forever: only in a process of its own,
/// with a deadline kept by another.
class Graft {
 public:
  /// may_link false: copy files, as where hard links cannot be made.
  Graft(StoreMounts mounts, std::string store_dir, bool may_link)
      : mounts_(std::move(mounts)), store_dir_(std::move(store_dir)), may_link_(may_link) {}

  /// Succeeds also when the path is there already. The error is one sentence.
  [[nodiscard]] tl::expected<void, std::string> make(const GraftRequest& request) const;

 private:
  [[nodiscard]] tl::expected<void, std::string> link(const GraftRequest& request,
                                                     FileIdentity source) const;
  [[nodiscard]] tl::expected<void, std::string> mount(const GraftRequest& request) const;

  StoreMounts mounts_;
  std::string store_dir_;
  bool may_link_;
};

}  // namespace airlock::fusefs
