#include "daemon/settle/catching_up.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/settle/sentences.hpp"

namespace airlock {

tl::expected<CaughtUp, std::string> catch_up(const StoreLayout& layout, const Registry& registry,
                                             Inspector& inspector,
                                             const std::vector<SigningKey>& keys,
                                             const Amended& amended, std::int64_t mark,
                                             const BeforeAdding& before_adding) {
  std::set<StorePath> sources;
  std::ranges::set_union(amended.outputs, amended.references,
                         std::inserter(sources, sources.end()));
  const auto dependents = registry.dependents(sources, amended.references, mark);
  if (!dependents) return tl::make_unexpected(dependents.error());
  CaughtUp caught_up{.added = {}, .breaches = {}, .seen = dependents->seen};
  const auto nothing_found = [](const auto& output) { return output.second.references.empty(); };
  bool told = false;
  for (const auto& [derivation, outputs] : dependents->groups) {
    const auto inspection = inspector.inspect(derivation, outputs, amended.references);
    if (!inspection) return tl::make_unexpected(inspection.error());
    if (std::ranges::all_of(*inspection, nothing_found)) continue;
    if (before_adding && !std::exchange(told, true))
      if (const auto ready = before_adding(); !ready) return tl::make_unexpected(ready.error());
    const auto amendment = registry.amend(outputs, *inspection, keys, Registry::Breach::tell);
    if (!amendment) return tl::make_unexpected(amendment.error());
    for (const auto& [name, count] : amendment->added)
      caught_up.added.push_back(fmt::format("added {} {} to {}, whose build began before", count,
                                            count == 1 ? "reference" : "references",
                                            layout.print(outputs.at(name))));
    if (!amendment->added.empty() && !amendment->violations.empty())
      caught_up.breaches.push_back(violations_of(layout, outputs, *amendment));
  }
  return caught_up;
}

}  // namespace airlock
