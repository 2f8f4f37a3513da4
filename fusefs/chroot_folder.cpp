#include "fusefs/chroot_folder.hpp"

#include <sys/stat.h>

namespace airlock::fusefs {

Fd open_chroot_folder(int store, const StorePath& derivation, FileIdentity expected) {
  const auto outer = derivation.base() + ".chroot";
  for (const auto& name : {outer + "/root", outer}) {
    Fd folder = open_beneath(store, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (folder && identity_of(folder.get()) == expected) return folder;
  }
  return {};
}

bool still_exists(int folder) {
  struct stat attributes {};
  return ::fstat(folder, &attributes) == 0 && attributes.st_nlink > 0;
}

}  // namespace airlock::fusefs
