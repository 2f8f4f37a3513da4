#include "daemon/mediator/debts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "daemon/config/nix_settings.hpp"

namespace airlock {

namespace {

/// Without the hook the output would be registered without its references, at once and for good.
tl::expected<void, std::string> require_hook(const StoreLayout& layout) {
  const auto file = layout.conf_dir + "/nix.conf";
  NixSettings settings;
  if (auto applied = settings.apply_file(file); !applied) return applied;
  if (!settings.words("post-build-hook").empty()) return {};
  return tl::unexpected(
      fmt::format("{} has no post-build-hook, so what this build was given could not be added to "
                  "the references of its outputs; set post-build-hook to airlock's, restart "
                  "nix-daemon and build again",
                  file));
}

}  // namespace

Debts::Debts(const StoreLayout& layout, const StorePath& derivation)
    : layout_(layout), derivation_(derivation) {}

tl::expected<void, std::string> Debts::open_folder() {
  if (auto settled = require_hook(layout_); !settled) return settled;
  const auto name = layout_.debts() + "/" + derivation_.base();
  // A settling process may remove the folder between any two of these steps: then make it again.
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (::mkdir(name.c_str(), 0755) != 0 && errno != EEXIST) break;
    Fd folder(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder || ::flock(folder.get(), LOCK_SH) != 0) continue;
    struct stat status {};
    if (::fstat(folder.get(), &status) != 0 || status.st_nlink == 0) continue;
    folder_ = std::move(folder);
    return link("derivation", derivation_);
  }
  return tl::unexpected(
      fmt::format("cannot make the roots' folder {}: {}", name, std::strerror(errno)));
}

tl::expected<void, std::string> Debts::link(const std::string& name, const StorePath& path) {
  const auto target = layout_.print(path);
  if (::symlinkat(target.c_str(), folder_.get(), name.c_str()) == 0 || errno == EEXIST) return {};
  return tl::unexpected(fmt::format("cannot make a root for {} in {}/{}: {}", target,
                                    layout_.debts(), derivation_.base(), std::strerror(errno)));
}

tl::expected<void, std::string> Debts::hold(const StorePath& path) {
  const std::lock_guard lock(mutex_);
  if (closed_) return tl::unexpected(std::string("the session has ended"));
  if (!folder_)
    if (auto opened = open_folder(); !opened) return opened;
  return link(path.base(), path);
}

void Debts::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  folder_.reset();
}

}  // namespace airlock
