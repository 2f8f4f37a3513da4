// What strict would have said of an upload, by what it holds; it travels on whatever that is.
#include <array>

#include "daemon/core/nar.hpp"
#include "daemon/mediator/observed.hpp"
#include "daemon/policy/condemnation.hpp"
#include "daemon/policy/content.hpp"
#include "daemon/policy/rules.hpp"

namespace airlock {

namespace {

constexpr std::size_t longest_subject = 512;

class Nowhere final : public Sink {
 public:
  void write(std::string_view) override {}
};

NarLimits nar_limits(const Limits& limits) {
  NarLimits most;
  most.size = limits.nar_bytes;
  return most;
}

/// The session as it would be in the middle of an operation that adds several paths.
class WithAdded final : public policy::Scene {
 public:
  WithAdded(const Session& session, const std::set<StorePath>& added)
      : session_(session), added_(added) {}
  [[nodiscard]] const StoreLayout& layout() const override { return session_.layout(); }
  [[nodiscard]] bool visible(const StorePath& path) const override {
    return added_.contains(path) || session_.visible(path);
  }
  [[nodiscard]] std::shared_ptr<const Derivation> derivation(const StorePath& path) const override {
    return session_.derivation(path);
  }
  [[nodiscard]] FixedOutputPolicy fixed_output() const override { return session_.fixed_output(); }
  [[nodiscard]] bool is_own_output(const StorePath& path) const override {
    return session_.is_own_output(path);
  }

 private:
  const Session& session_;
  const std::set<StorePath>& added_;
};

/// The first refusal is the one that strict gives.
void amend(Observation& seen, policy::Verdict verdict) {
  if (!seen.verdict.refused()) seen.verdict = std::move(verdict);
}

void amend_by_text(Observation& seen, std::string_view name, const std::optional<std::string>& text,
                   const std::set<StorePath>& references, const policy::Scene& scene) {
  if (auto decided = policy::add_derivation_text(name, text, references, scene); !decided)
    amend(seen, std::move(decided.error()));
}

/// What of an upload that is no archive fits a derivation; empty when it does not. The rest is not
/// read.
std::optional<std::string> read_text(PassingUpload& body, std::size_t most) {
  std::string text;
  std::array<char, 16 * 1024> buffer{};
  while (const auto n = body.read_some(buffer)) {
    if (text.size() + n > most) return std::nullopt;
    text.append(buffer.data(), n);
  }
  return text;
}

/// One path of AddToStoreNar or AddMultipleToStore; `verdict` is that of its arguments.
void observe_archive(const wire::AddToStoreNar& item, const policy::Verdict& verdict,
                     PassingUpload& archive, const policy::Scene& scene, const Limits& limits,
                     Observation& seen) {
  Nowhere nowhere;
  std::optional<SingleFile> file;
  const auto pass = [&](Sink& sink) {
    copy_nar(archive, sink, nar_limits(limits), limits.derivation_bytes, file);
  };
  const auto address = ContentAddress::parse(item.info.content_address);
  if (verdict.refused() || !address) {
    pass(nowhere);
    return amend(seen, verdict);
  }
  policy::ArchiveCheck check(nowhere, item.info, *address);
  pass(check);
  if (scene.is_own_output(item.path))
    return amend(seen, policy::own_output(scene.layout().print(item.path)));
  if (!check.matches(file)) return amend(seen, policy::content_differs(scene.layout(), item.path));
  if (item.path.is_derivation())
    amend_by_text(seen, item.path.name(), file->content, item.info.references, scene);
}

void observe_archives(const wire::AddMultipleToStore& request, PassingUpload& body,
                      const Session& session, const Limits& limits, Observation& seen) {
  const WithAdded scene(session, seen.added);
  wire::Reader from(body, session.layout(),
                    {limits.string_bytes, limits.list_items, limits.request_bytes});
  const auto count = from.count();
  for (auto n = count; n > 0 && seen.added.size() < limits.paths; --n) {
    from.begin();
    auto path = from.path();
    const wire::AddToStoreNar item{std::move(path), wire::read_path_info(from), request.repair,
                                   request.dont_check_signatures};
    const bool refused = seen.verdict.refused();
    const auto printed = session.layout().print(item.path);
    observe_archive(item, policy::add_nar(item, scene), body, scene, limits, seen);
    if (!refused && seen.verdict.refused())
      seen.subject = printed;
    else if (!refused && seen.subject.size() < longest_subject)
      seen.subject += (seen.subject.empty() ? "" : " ") + printed;
    seen.added.insert(item.path);
  }
}

/// What strict would have ended the connection for may be passed on as long as both sides go on: an
/// upload that is not framed has no end but its content's.
UploadWatch tolerant(UploadWatch watch, Observation& seen) {
  return [watch = std::move(watch), &seen](PassingUpload& body) {
    try {
      watch(body);
    } catch (const ConnectionOver& over) {
      if (body.broken() || !body.is_framed()) throw;
      amend(seen, {policy::Decision::deny, policy::rule::well_formed, over.what(), {}});
    }
  };
}

}  // namespace

UploadWatch watch(const wire::AddToStore& request, const Session& session, const Limits& limits,
                  Observation& seen) {
  if (!request.name.ends_with(".drv") || seen.verdict.refused()) return {};
  return tolerant(
      [&request, &session, &limits, &seen](PassingUpload& body) {  // text, by its rule
        const auto text = read_text(body, limits.derivation_bytes);
        amend_by_text(seen, request.name, text, request.references, session);
      },
      seen);
}

UploadWatch watch(const wire::AddTextToStore& request, const Session& session, const Limits&,
                  Observation& seen) {
  if (request.name.ends_with(".drv"))
    amend_by_text(seen, request.name, request.text, request.references, session);
  return {};
}

UploadWatch watch(const wire::AddToStoreNar& request, const Session& session, const Limits& limits,
                  Observation& seen) {
  if (seen.verdict.refused()) return {};
  return tolerant(
      [&request, &session, &limits, &seen](PassingUpload& body) {
        observe_archive(request, seen.verdict, body, session, limits, seen);
      },
      seen);
}

UploadWatch watch(const wire::AddMultipleToStore& request, const Session& session,
                  const Limits& limits, Observation& seen) {
  return tolerant(
      [&request, &session, &limits, &seen](PassingUpload& body) {
        observe_archives(request, body, session, limits, seen);
      },
      seen);
}

}  // namespace airlock
