#pragma once

#include <memory>

#include "daemon/config/config.hpp"
#include "daemon/core/derivation.hpp"

namespace airlock::policy {

/// All that a rule may look at: one session as it stands. Everything behind it follows from the
/// session's derivation and from what the session itself added and built, never from the host.
class Scene {
 public:
  Scene() = default;
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  virtual ~Scene() = default;

  [[nodiscard]] virtual const StoreLayout& layout() const = 0;
  [[nodiscard]] virtual bool visible(const StorePath& path) const = 0;
  /// The content of a visible .drv file; null when the path is not visible or does not parse.
  [[nodiscard]] virtual std::shared_ptr<const Derivation> derivation(
      const StorePath& path) const = 0;
  [[nodiscard]] virtual FixedOutputPolicy fixed_output() const = 0;
  /// The output paths of the session's own derivation: being built, so never to be waited for.
  [[nodiscard]] virtual bool is_own_output(const StorePath& path) const = 0;
};

}  // namespace airlock::policy
