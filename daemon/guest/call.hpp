#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace airlock::guest {

enum class Program { nix_instantiate, nix_build };

/// A call of nix-instantiate, or nix-build, that makes derivations and that is understood.
struct Call {
  struct Argument {
    bool is_string = false;  ///< --argstr, else --arg
    std::string value;
  };

  bool reads_stdin = false;
  bool from_text = false;                ///< the expressions are text (-E), not files
  std::vector<std::string> expressions;  ///< or files
  std::vector<std::string> attributes;
  std::map<std::string, Argument> arguments;
  std::vector<std::string> search_path;  ///< -I
  std::vector<std::string> settings;     ///< options for the evaluator, as they are
  std::vector<std::string> for_build;    ///< options of nix-build's that are about building
  std::optional<std::string> root;       ///< --add-root
};

/// Nothing when any of the arguments (without the program's name) is not one that is known to leave
/// the result a list of derivations that the expression alone decides. Pure.
[[nodiscard]] std::optional<Call> parse_call(Program program, std::span<const std::string> words);

/// The evaluator's arguments in the one order in which calls that mean the same are equal.
[[nodiscard]] std::vector<std::string> evaluator_arguments(const Call& call);

}  // namespace airlock::guest
