#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/policy/scene.hpp"
#include "daemon/wire/results.hpp"

namespace airlock {

/// What upstream made of a request to build, and which derivations were refused a session of their
/// own for what they say themselves.
struct BuildOutcome {
  std::vector<wire::KeyedBuildResult> results;
  std::map<StorePath, std::string> refused;
};

/// A derivation that was not worked on because another failed first has this, and no message.
[[nodiscard]] bool abandoned(const wire::BuildResult& result);

/// What of an outcome a client is told. Held for each derivation, of which a client may name one in
/// as many targets as fit into a request, and a failure's text for the derivation that failed,
/// since any number may need that one. Immutable.
class BuildAnswers {
 public:
  /// The targets are the client's; the outcome is one that its sandbox may learn. Throws
  /// UpstreamLost when what upstream says of an output is not what Nix writes.
  BuildAnswers(const wire::Targets& targets, BuildOutcome outcome, const policy::Scene& scene);

  /// `target` is one of the client's.
  [[nodiscard]] bool succeeded(const wire::Target& target) const;
  [[nodiscard]] wire::BuildResult of(const wire::Target& target) const;
  /// For a client that is told one thing of all its targets; empty when all succeeded.
  [[nodiscard]] const std::string& failures() const { return failures_; }

 private:
  /// Why a derivation failed: of many causes only the first few are named.
  struct Causes {
    std::vector<StorePath> named;
    std::size_t more = 0;
  };
  struct Answer {
    wire::BuildResult result;  ///< without the error
    Causes causes;
  };
  [[nodiscard]] static Causes first_of(const std::set<StorePath>& causes);
  [[nodiscard]] std::string text_of(const Causes& causes) const;

  std::map<StorePath, Answer> of_;  ///< each derivation that is a target
  std::map<StorePath, std::string> reasons_;
  std::string failures_;
};

}  // namespace airlock
