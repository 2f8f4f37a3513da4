#pragma once

#include <optional>
#include <string>

#include "fusefs/boundary/store_path.hpp"
#include "fusefs/kernel.hpp"

namespace airlock::fusefs {

/// Opens the folder that Nix makes for a build and roots its sandbox in, O_PATH: below the store
/// folder, "<base>.chroot/root" (2.18.4 and later) or "<base>.chroot". Only the one that is the
/// expected folder: names are never evidence. Not open when neither is.
[[nodiscard]] Fd open_chroot_folder(int store, const StorePath& derivation, FileIdentity expected);

/// False once the folder has been removed.
[[nodiscard]] bool still_exists(int folder);

}  // namespace airlock::fusefs
