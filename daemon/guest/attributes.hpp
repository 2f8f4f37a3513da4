#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace airlock::guest {

/// What the derivation of this build says, as Nix tells its builder: in variables, or with
/// structured attributes in a file. A value type.
class Attributes {
 public:
  /// This process's. Nothing with structured attributes that cannot be read.
  [[nodiscard]] static std::optional<Attributes> of_this_build();

  /// A string, or a list (in a variable: split at white space); absent if it is of another type.
  [[nodiscard]] std::optional<std::string> text(const std::string& name) const;
  [[nodiscard]] std::optional<std::vector<std::string>> list(const std::string& name) const;
  /// The build's outputs and their paths. Without structured attributes those that the variable
  /// `outputs` names, or "out"; one that no variable has is left out.
  [[nodiscard]] std::map<std::string, std::string> outputs() const;

 private:
  bool structured_ = false;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<std::string>> lists_;
  std::map<std::string, std::string> outputs_;
};

}  // namespace airlock::guest
