#include "fusefs/privileges.hpp"

#include <cap-ng.h>

#include <initializer_list>
#include <stdexcept>

namespace airlock::fusefs {
namespace {

void keep(std::initializer_list<unsigned> capabilities) {
  capng_clear(CAPNG_SELECT_CAPS);
  for (const unsigned capability : capabilities) {
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                 capability);
  }
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) {
    throw std::runtime_error("cannot give up capabilities");
  }
}

}  // namespace

void keep_filesystem_capabilities() {
  keep({CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE, CAP_KILL});
}

void keep_view_capabilities() {
  keep({CAP_DAC_READ_SEARCH});
}

void keep_contact_capabilities() {
  keep({CAP_SYS_PTRACE});
}

void keep_graft_capabilities() {
  keep({CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE,
        CAP_FOWNER});
}

}  // namespace airlock::fusefs
