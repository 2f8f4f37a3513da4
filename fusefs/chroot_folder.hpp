#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

/// Opens the folder that Nix makes for a build and roots its sandbox in, O_PATH: below the store
/// folder, "<base>.chroot/root" (2.18.4 and later) or "<base>.chroot". Only the one that is the
/// expected folder: names are never evidence. Not open when neither is.
[[nodiscard]] Fd open_chroot_folder(int store, const StorePath& derivation, FileIdentity expected);

/// A build's folder that is there now.
struct ChrootFolder {
  StorePath derivation;
  Fd folder;  ///< O_PATH
};

/// The build's folder that a sandbox's first process is rooted in. What /proc calls that root,
/// which the process can choose, only says where to look: what is found there has to be the root
/// itself.
[[nodiscard]] std::optional<ChrootFolder> find_chroot_folder(int store, const FirstProcess& first);

/// The derivation whose build folder a path on its filesystem could be, from its last names:
/// "…/<base>.drv.chroot" or "…/<base>.drv.chroot/root". Pure.
[[nodiscard]] std::optional<StorePath> derivation_in_root(std::string_view path);

/// False once the folder has been removed.
[[nodiscard]] bool still_exists(int folder);

}  // namespace airlock::fusefs
