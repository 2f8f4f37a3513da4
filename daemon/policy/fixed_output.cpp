#include "daemon/policy/fixed_output.hpp"

#include <algorithm>
#include <array>

namespace airlock::policy {

namespace {

constexpr const char* attribute = "airlockFixedOutput";

struct Word {
  std::string_view text;
  FixedOutputPolicy policy;
};
/// From the loosest to the tightest.
constexpr std::array<Word, 3> words{{
    {"open", FixedOutputPolicy::open},
    {"sealed", FixedOutputPolicy::sealed},
    {"closed", FixedOutputPolicy::closed},
}};

}  // namespace

tl::expected<FixedOutputPolicy, std::string> fixed_output_of(const Derivation& derivation,
                                                             FixedOutputPolicy configured) {
  if (!derivation.has(attribute)) return configured;
  const auto text = derivation.text(attribute);
  const auto asked =
      std::find_if(words.begin(), words.end(), [&](const Word& word) { return word.text == text; });
  if (asked == words.end())
    return tl::unexpected(
        std::string(attribute) +
        " must be \"open\", \"sealed\" or \"closed\": correct it or leave it out");
  const auto given = std::find_if(words.begin(), words.end(),
                                  [&](const Word& word) { return word.policy == configured; });
  return std::max(asked, given)->policy;
}

}  // namespace airlock::policy
