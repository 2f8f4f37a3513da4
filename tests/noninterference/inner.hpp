#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/core/derivation.hpp"

namespace noninterference {

/// What a derivation of the test does when it is built.
enum class Kind {
  succeeds,
  makes_folder,            ///< with a reference to a source
  two_outputs,             ///< "dev" and "out"
  fixed_flat,              ///< fixed-output, and right
  fixed_recursive,         ///< the same as an archive
  fails,                   ///< by its exit code
  fails_with_log,          ///< more lines than a Nix quotes
  no_program,              ///< it has nothing to run
  makes_nothing,           ///< exits well without an output
  names_what_it_must_not,  ///< allowedReferences
  needs_all,               ///< those before it, whatever they do
  fixed_wrong,             ///< fixed-output with other content
  fixed_fails,             ///< fixed-output, exits badly
  fills_the_log,           ///< until the host's limit ends it
  sleeps,                  ///< for longer than any time-out of the test
  needs_a_feature,         ///< that no host has
  without_sandbox,         ///< asks for __noChroot
};
[[nodiscard]] const char* name_of(Kind kind);
/// Whether building it ends well on a host that does not have its outputs.
[[nodiscard]] bool can_be_built(Kind kind);
[[nodiscard]] bool is_fixed(Kind kind);

/// A derivation of the test, its file and its outputs.
struct Inner {
  Kind kind{};
  airlock::Derivation derivation;
  airlock::StorePath path;
  std::string text;
  std::map<std::string, std::string> contents{};  ///< of outputs that are flat files, by output
  std::string modulo;  ///< what it is replaced by where another's output paths are computed
};

/// What all derivations of the test are made from.
struct Materials {
  airlock::StoreLayout layout;
  airlock::StorePath shell;
  airlock::StorePath source;
  std::string platform;
};

/// The nonce goes into the name, so that another one makes another derivation.
[[nodiscard]] Inner make_inner(const Materials& materials, Kind kind, const std::string& nonce,
                               const std::vector<const Inner*>& inputs);

}  // namespace noninterference
