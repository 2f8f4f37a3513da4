#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "daemon/mediator/session.hpp"

namespace airlock {

/// What one operation adds to its session, path by path: the scene for the rules that decide the
/// paths that follow, which may refer to those before them. To everybody else all become visible
/// at once, by grant, and none when the operation fails: how far it has come by now depends on
/// what the host has already, and another connection of the same sandbox could ask. Until then
/// upstream's connection holds them against garbage collection. Not thread-safe; for the one
/// operation that made it.
class Additions final : public policy::Scene {
 public:
  explicit Additions(Session& session) : session_(session) {}

  [[nodiscard]] const StoreLayout& layout() const override { return session_.layout(); }
  [[nodiscard]] bool visible(const StorePath& path) const override;
  [[nodiscard]] std::shared_ptr<const Derivation> derivation(const StorePath& path) const override;
  [[nodiscard]] FixedOutputPolicy fixed_output() const override { return session_.fixed_output(); }
  [[nodiscard]] bool is_own_output(const StorePath& path) const override;

  /// Upstream has it now; `derivation` is the content of a .drv file, `size` that of the archive in
  /// bytes. It counts for the session from now on, whatever comes of the operation. Throws
  /// Condemned when that is over its limits.
  void add(const StorePath& path, std::uint64_t size, std::optional<Derivation> derivation);
  /// Session::grant, for all of them. Throws Condemned.
  void grant();

 private:
  Session& session_;
  std::set<StorePath> added_;
};

}  // namespace airlock
