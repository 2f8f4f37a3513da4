#include "daemon/settle/settle.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "daemon/settle/inspector.hpp"
#include "daemon/settle/registry.hpp"
#include "daemon/settle/signing_key.hpp"

namespace airlock {

namespace {

/// airlockd lets go of a debt as soon as it hears that the sandbox is gone.
std::chrono::seconds patience(Occasion occasion) {
  return std::chrono::seconds(occasion == Occasion::clean_up ? 0 : 30);
}

/// A worker of Nix's holds a lock beside each output path from before the sandbox until after the
/// post-build hook.
bool is_being_built(const StoreLayout& layout, const Outputs& outputs) {
  for (const auto& [name, path] : outputs) {
    const std::string file = layout.print(path) + ".lock";
    const Fd lock{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (lock && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) return true;
  }
  return false;
}

tl::expected<std::vector<SigningKey>, std::string> read_keys(const NixSettings& settings) {
  std::vector<SigningKey> keys;
  for (const std::string& file : settings.words("secret-key-files")) {
    auto key = SigningKey::read(file);
    if (!key) return tl::make_unexpected(key.error());
    keys.push_back(*std::move(key));
  }
  return keys;
}

std::string sentence_of(const Amendment& amendment) {
  if (amendment.added.empty()) return "its references were complete";
  std::string text;
  for (const auto& [output, count] : amendment.added)
    text += fmt::format("{}{} {} to '{}'", text.empty() ? "added " : ", ", count,
                        count == 1 ? "reference" : "references", output);
  return text;
}

std::string sentence_of(const StoreLayout& layout, const std::vector<Violation>& violations) {
  std::string text;
  for (const Violation& violation : violations)
    text += fmt::format("{}output '{}', {}, refers to {}, which the derivation's {} forbids{}",
                        text.empty() ? "" : "; ", violation.output, layout.print(violation.path),
                        layout.print(violation.reference), violation.rule,
                        violation.invalidated ? " (the output is no longer valid)"
                                              : " (the output stays, as something refers to it)");
  return text;
}

}  // namespace

void Settlement::reached(Step step) const {
  if (watcher_) watcher_(step);
}

tl::expected<Settled, std::string> Settlement::settle(const StorePath& derivation,
                                                      Occasion occasion) const {
  using Outcome = Settled::Outcome;
  const Settled in_progress{Outcome::in_progress, "it is still being built"};
  const Registry registry(layout_);
  const auto built = registry.built(derivation);
  if (!built) return tl::make_unexpected(built.error());
  // Outputs may have been valid before: that alone does not tell that the build is over.
  const bool for_its_hook = occasion == Occasion::after_build && built->any_valid;
  if (!for_its_hook && is_being_built(layout_, built->outputs)) return in_progress;

  auto inspector =
      Inspector::start(layout_, account_, derivation, built->valid, patience(occasion));
  if (!inspector) return tl::make_unexpected(inspector.error());
  const auto report = inspector->report();
  if (!report) return tl::make_unexpected(report.error());
  if (report->state == DebtFolder::State::absent)
    return Settled{Outcome::nothing_owed, "nothing is owed"};
  if (report->state == DebtFolder::State::in_use) {
    if (!for_its_hook) return in_progress;
    return tl::make_unexpected(std::string("airlockd still holds its roots: see airlockd's log"));
  }
  reached(Step::inspected);

  // Not before the child was forked: keys are none of its business.
  const auto keys = read_keys(settings_);
  if (!keys) return tl::make_unexpected(keys.error());
  const auto amendment = registry.amend(built->valid, report->inspection, *keys,
                                        [this] { reached(Step::before_commit); });
  if (!amendment) return tl::make_unexpected(amendment.error());
  reached(Step::committed);

  if (const auto removed = inspector->remove_debt(); !removed)
    return tl::make_unexpected(removed.error());
  reached(Step::removed);
  if (!built->any_valid) return Settled{Outcome::dropped, "dropped, as no output is valid"};
  return Settled{Outcome::amended, sentence_of(*amendment),
                 sentence_of(layout_, amendment->violations)};
}

}  // namespace airlock
