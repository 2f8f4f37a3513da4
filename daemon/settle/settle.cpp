#include "daemon/settle/settle.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <vector>

#include "daemon/settle/catching_up.hpp"
#include "daemon/settle/readers.hpp"
#include "daemon/settle/registry.hpp"
#include "daemon/settle/sentences.hpp"
#include "daemon/settle/signing_key.hpp"

namespace airlock {

namespace {

/// airlockd lets go of a debt as soon as it hears that the sandbox is gone.
std::chrono::seconds patience(Occasion occasion) {
  return std::chrono::seconds(occasion == Occasion::clean_up ? 0 : 30);
}

constexpr std::chrono::seconds review_patience{30};

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

void append(std::string& text, const std::vector<std::string>& sentences) {
  for (const std::string& sentence : sentences)
    text += fmt::format("{}{}", text.empty() ? "" : "; ", sentence);
}

void append(std::vector<std::string>& list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

/// The paths of a record, which of them are outputs and which are not.
Amended amended_of(const std::set<StorePath>& paths, const Outputs& outputs) {
  Amended amended{.outputs = {}, .references = paths};
  for (const auto& [name, path] : outputs) {
    amended.outputs.insert(path);
    amended.references.erase(path);
  }
  return amended;
}

}  // namespace

struct Settlement::Work {
  const StorePath& derivation;
  Registry registry;
  Registry::Built built;
  Inspector inspector;
  std::vector<SigningKey> keys{};
  std::set<StorePath> found{};  ///< granted paths that the outputs mention
  pid_t worker = 0;             ///< the process of Nix's that waits for this one, if one does
};

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
  const bool for_its_hook = occasion == Occasion::after_build && !built->valid.empty();
  if (!for_its_hook && is_being_built(layout_, built->outputs)) return in_progress;

  auto inspector = Inspector::start(layout_, account_);
  if (!inspector) return tl::make_unexpected(inspector.error());
  auto debt = inspector->take_debt(derivation, built->valid, patience(occasion));
  if (!debt) return tl::make_unexpected(debt.error());
  if (debt->state == FolderLock::absent) return Settled{Outcome::nothing_owed, "nothing is owed"};
  if (debt->state == FolderLock::in_use) {
    if (!for_its_hook) return in_progress;
    return tl::make_unexpected(std::string("airlockd still holds its roots: see airlockd's log"));
  }
  reached(Step::inspected);

  // Not before the child was forked: keys are none of its business.
  auto keys = read_keys(settings_);
  if (!keys) return tl::make_unexpected(keys.error());
  // The worker that waits for its hook has read nothing since it registered the outputs.
  Work work{derivation,
            registry,
            *built,
            *std::move(inspector),
            *std::move(keys),
            {},
            for_its_hook ? ::getppid() : 0};
  auto settled = amend(work, *debt);
  if (!settled) return settled;
  if (const auto removed = work.inspector.remove_debt(); !removed)
    return tl::make_unexpected(removed.error());
  reached(Step::removed);
  return settled;
}

tl::expected<Settled, std::string> Settlement::amend(Work& work, Inspector::Debt& debt) const {
  using Outcome = Settled::Outcome;
  const Outputs& outputs = work.built.valid;
  if (!debt.mark) {
    const auto since = work.registry.incomplete_since(outputs, debt.inspection);
    if (!since) return tl::make_unexpected(since.error());
    debt.mark = *since;
    // After the commit the outputs no longer tell that they were incomplete.
    if (*since)
      if (const auto set = work.inspector.set_mark(**since); !set)
        return tl::make_unexpected(set.error());
  }
  const auto amendment =
      work.registry.amend(outputs, debt.inspection, work.keys, Registry::Breach::take_back,
                          [this] { reached(Step::before_commit); });
  if (!amendment) return tl::make_unexpected(amendment.error());
  reached(Step::committed);
  if (outputs.empty()) return Settled{Outcome::dropped, "dropped, as no output is valid"};
  Settled settled{Outcome::amended, sentence_of(*amendment),
                  violations_of(layout_, outputs, *amendment)};
  if (!debt.mark) return settled;
  for (const auto& [name, findings] : debt.inspection)
    work.found.insert(findings.references.begin(), findings.references.end());
  if (const auto closed = close_window(work, *debt.mark, settled); !closed)
    return tl::make_unexpected(closed.error());
  return settled;
}

// Whoever read the old references did so before the commit. It either runs now, or what it built is
// registered by now.
tl::expected<void, std::string> Settlement::close_window(Work& work, std::int64_t mark,
                                                         Settled& settled) const {
  RecentAmendment record{.mark = mark, .readers = {}, .paths = work.found};
  for (const auto& [name, path] : work.built.outputs) record.paths.insert(path);
  bool recorded = false;
  for (bool last = false; !last;) {
    auto readers = Readers::now(layout_, account_.uid, work.worker);
    if (!readers) return tl::make_unexpected(readers.error());
    record.readers = *std::move(readers);
    if (recorded || !record.readers.none()) {
      auto kept = work.inspector.keep_recent(work.derivation, record);
      if (!kept) return tl::make_unexpected(kept.error());
      record = *std::move(kept);
      recorded = true;
      reached(Step::recorded);
    }
    const auto caught_up = catch_up(layout_, work.registry, work.inspector, work.keys,
                                    amended_of(record.paths, work.built.outputs), record.mark);
    if (!caught_up) return tl::make_unexpected(caught_up.error());
    append(settled.sentence, caught_up->added);
    append(settled.breaches, caught_up->breaches);
    last = caught_up->added.empty();
  }
  reached(Step::caught_up);
  if (recorded && record.readers.none()) return work.inspector.remove_recent();
  return {};
}

tl::expected<Reviewed, std::string> Settlement::review(const StorePath& derivation) const {
  const Registry registry(layout_);
  const auto built = registry.built(derivation);
  if (!built) return tl::make_unexpected(built.error());
  auto inspector = Inspector::start(layout_, account_);
  if (!inspector) return tl::make_unexpected(inspector.error());
  auto recent = inspector->take_recent(derivation, review_patience);
  if (!recent) return tl::make_unexpected(recent.error());
  if (recent->state == FolderLock::absent) return Reviewed{true, "nothing is left to look at"};
  if (recent->state == FolderLock::in_use) return Reviewed{false, "it is being looked at"};
  const auto keys = read_keys(settings_);
  if (!keys) return tl::make_unexpected(keys.error());

  Reviewed reviewed;
  if (const auto looked =
          look_again(registry, *inspector, *keys, *built, recent->amendment, reviewed);
      !looked)
    return tl::make_unexpected(looked.error());
  append(reviewed.sentence,
         {reviewed.over ? "nothing runs any more that may know the old references"
                        : "something that may know the old references still runs"});
  const auto done =
      reviewed.over ? inspector->remove_recent() : inspector->write_recent(recent->amendment);
  if (!done) return tl::make_unexpected(done.error());
  return reviewed;
}

tl::expected<void, std::string> Settlement::look_again(
    const Registry& registry, Inspector& inspector, const std::vector<SigningKey>& keys,
    const Registry::Built& built, RecentAmendment& record, Reviewed& reviewed) const {
  // Before the question: what those have built that are over by now is registered.
  record.readers.forget_ended(layout_);
  for (;;) {
    if (record.unfinished) {
      auto readers = Readers::now(layout_, account_.uid, 0);
      if (!readers) return tl::make_unexpected(readers.error());
      record.readers = *std::move(readers);
      record.unfinished = false;
    }
    RecentAmendment unfinished = record;
    unfinished.unfinished = true;
    const auto caught_up =
        catch_up(layout_, registry, inspector, keys, amended_of(record.paths, built.outputs),
                 record.mark, [&] { return inspector.write_recent(unfinished); });
    if (!caught_up) return tl::make_unexpected(caught_up.error());
    append(reviewed.sentence, caught_up->added);
    append(reviewed.breaches, caught_up->breaches);
    reviewed.changed = reviewed.changed || !caught_up->added.empty();
    if (caught_up->added.empty()) {
      record.mark = caught_up->seen;
      reviewed.over = record.readers.none();
      return {};
    }
    record.unfinished = true;
    reached(Step::caught_up);
  }
}

}  // namespace airlock
