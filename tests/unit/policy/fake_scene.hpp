#pragma once

#include <map>

#include "daemon/policy/scene.hpp"

namespace airlock::policy {

inline StorePath fake_path(const std::string& name) {
  // Different names get different hash parts, so that nothing is found by accident.
  std::string hash(32, '0');
  std::size_t seed = std::hash<std::string>{}(name);
  for (auto& digit : hash) {
    digit = "0123456789abcdfghijklmnpqrsvwxyz"[seed % 32];
    seed = seed / 32 + (seed % 32) * 0x9e3779b97f4a7c15u;
  }
  return StorePath::parse(hash + "-" + name).value();
}

/// A scene of plain values.
class FakeScene final : public Scene {
 public:
  StoreLayout store;
  std::set<StorePath> visible_paths;
  std::map<StorePath, Derivation> derivations;
  std::set<StorePath> own_outputs;
  FixedOutputPolicy policy = FixedOutputPolicy::sealed;

  const StoreLayout& layout() const override { return store; }
  bool visible(const StorePath& path) const override { return visible_paths.contains(path); }
  std::shared_ptr<const Derivation> derivation(const StorePath& path) const override {
    const auto found = derivations.find(path);
    if (!visible(path) || found == derivations.end()) return nullptr;
    return std::make_shared<const Derivation>(found->second);
  }
  FixedOutputPolicy fixed_output() const override { return policy; }
  bool is_own_output(const StorePath& path) const override { return own_outputs.contains(path); }

  StorePath add(const std::string& name) {
    auto path = fake_path(name);
    visible_paths.insert(path);
    return path;
  }
  /// A visible input-addressed derivation with one output, "<name>", not visible itself.
  StorePath add_derivation(const std::string& name, Derivation derivation = {}) {
    const auto path = add(name + ".drv");
    if (derivation.outputs.empty()) derivation.outputs["out"] = {fake_path(name), "", ""};
    derivations[path] = std::move(derivation);
    return path;
  }
};

}  // namespace airlock::policy
