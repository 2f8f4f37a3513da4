#include "daemon/settle/sentences.hpp"

#include <fmt/format.h>

namespace airlock {

namespace {

std::string sentence_of(const StoreLayout& layout, const Violation& violation) {
  const std::string output =
      fmt::format("output '{}', {}", violation.output, layout.print(violation.path));
  const std::string reference = layout.print(violation.reference);
  const char* fate = violation.invalidated ? " (the output is no longer valid)"
                                           : " (the output stays, as something refers to it)";
  if (violation.rule != Violation::no_references)
    return fmt::format("{}, refers to {}, which the derivation's {} forbids{}", output, reference,
                       violation.rule, fate);
  return fmt::format(
      "{}, names {}, which was added or built during the build, but the output of a fixed-output "
      "derivation can have no references: do not write store paths into it{}",
      output, reference, fate);
}

}  // namespace

std::string sentence_of(const Amendment& amendment) {
  if (amendment.added.empty()) return "its references were complete";
  std::string text;
  for (const auto& [output, count] : amendment.added)
    text += fmt::format("{}{} {} to '{}'", text.empty() ? "added " : ", ", count,
                        count == 1 ? "reference" : "references", output);
  return text;
}

std::string violations_of(const StoreLayout& layout, const Outputs& outputs,
                          const Amendment& amendment) {
  std::string text;
  std::set<std::string> with_them = amendment.taken_back;
  for (const Violation& violation : amendment.violations) {
    text += fmt::format("{}{}", text.empty() ? "" : "; ", sentence_of(layout, violation));
    with_them.erase(violation.output);
  }
  for (const std::string& name : with_them)
    text += fmt::format("; output '{}', {}, refers to such an output and is no longer valid either",
                        name, layout.print(outputs.at(name)));
  return text;
}

}  // namespace airlock
