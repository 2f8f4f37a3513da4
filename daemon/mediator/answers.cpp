// Questions that the session alone answers: a hidden path is answered as one that does not exist.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "daemon/core/nar.hpp"
#include "daemon/mediator/handlers.hpp"
#include "daemon/policy/build_plan.hpp"
#include "daemon/policy/rules.hpp"

namespace airlock::handlers {

namespace {

/// The derivation behind a visible path, or what the client is told.
tl::expected<std::shared_ptr<const Derivation>, Failure> derivation_of(const StorePath& path,
                                                                       Call& call) {
  auto derivation = call.session.derivation(path);
  if (!derivation)
    return tl::unexpected(
        Failure{fmt::format("'{}' is not a derivation", call.session.layout().print(path)), {}});
  return derivation;
}

std::set<StorePath> only_visible(const std::set<StorePath>& paths, const Session& session) {
  std::set<StorePath> visible;
  std::copy_if(paths.begin(), paths.end(), std::inserter(visible, visible.end()),
               [&](const auto& path) { return session.visible(path); });
  return visible;
}

/// What is written travels in WRITE messages.
class WriteMessages final : public Sink {
 public:
  explicit WriteMessages(const Call& call) : call_(call) {}
  void write(std::string_view bytes) override {
    pending_.append(bytes);
    if (pending_.size() >= most_) flush();
  }
  void flush() override {
    if (pending_.empty()) return;
    wire::write_log_message(call_.to, wire::WriteData{std::move(pending_)}, call_.version);
    pending_.clear();
  }

 private:
  static constexpr std::size_t most_ = 64 * 1024;
  const Call& call_;
  std::string pending_;
};

void dump(const StorePath& path, Sink& sink, const Call& call) {
  const Fd store(::open(call.session.layout().store_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  try {
    dump_nar(store.get(), path.base(), sink);
  } catch (const std::system_error& error) {
    // The archive has begun: there is no way to say so but to end the connection, and the sandbox.
    throw Condemned(
        policy::rule::host,
        fmt::format("{} cannot be read: {}", call.session.layout().print(path), error.what()));
  }
}

}  // namespace

Handled is_valid_path(const wire::IsValidPath& request, Call& call) {
  call.reply(wire::Boolean{call.session.visible(request.path)});
  return {};
}

Handled has_substitutes(const wire::HasSubstitutes&, Call& call) {
  call.reply(wire::Boolean{false});
  return {};
}

Handled query_path_hash(const wire::QueryPathHash& request, Call& call) {
  const auto info = call.session.path_info(request.path);
  call.reply(wire::Text{info.nar_hash});
  return {};
}

Handled query_references(const wire::QueryReferences& request, Call& call) {
  const auto info = call.session.path_info(request.path);
  call.reply(wire::Paths{info.references});
  return {};
}

Handled query_referrers(const wire::QueryReferrers& request, Call& call) {
  const auto referrers = call.session.referrers(request.path);
  call.reply(wire::Paths{referrers});
  return {};
}

Handled query_deriver(const wire::QueryDeriver&, Call& call) {
  call.reply(wire::MaybePath{});
  return {};
}

Handled query_substitutable_path_info(const wire::QuerySubstitutablePathInfo&, Call& call) {
  call.reply(wire::MaybeSubstitutable{});
  return {};
}

Handled query_substitutable_path_infos(const wire::QuerySubstitutablePathInfos&, Call& call) {
  call.reply(wire::Substitutables{});
  return {};
}

Handled query_substitutable_paths(const wire::QuerySubstitutablePaths&, Call& call) {
  call.reply(wire::Paths{});
  return {};
}

Handled query_derivation_outputs(const wire::QueryDerivationOutputs& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  std::set<StorePath> outputs;
  for (const auto& [name, output] : (*derivation)->outputs)
    if (output.path) outputs.insert(*output.path);
  call.reply(wire::Paths{outputs});
  return {};
}

Handled query_derivation_output_names(const wire::QueryDerivationOutputNames& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  std::vector<std::string> names;
  for (const auto& [name, output] : (*derivation)->outputs) names.push_back(name);
  call.reply(wire::Texts{names});
  return {};
}

Handled query_derivation_output_map(const wire::QueryDerivationOutputMap& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  wire::OutputMap map;
  for (const auto& [name, output] : (*derivation)->outputs)
    map.outputs.emplace_back(name, output.path);
  call.reply(map);
  return {};
}

Handled query_all_valid_paths(const wire::QueryAllValidPaths&, Call& call) {
  call.reply(wire::Paths{call.session.visible_paths()});
  return {};
}

Handled query_path_info(const wire::QueryPathInfo& request, Call& call) {
  wire::MaybePathInfo answer;
  if (call.session.visible(request.path)) answer.info = call.session.path_info(request.path);
  call.reply(answer);
  return {};
}

Handled query_path_from_hash_part(const wire::QueryPathFromHashPart& request, Call& call) {
  call.reply(wire::MaybePath{call.session.visible_path_with_hash(request.text)});
  return {};
}

Handled query_valid_paths(const wire::QueryValidPaths& request, Call& call) {
  call.reply(wire::Paths{only_visible(request.paths, call.session)});
  return {};
}

Handled query_valid_derivers(const wire::QueryValidDerivers&, Call& call) {
  // Which derivations of a path are valid is the host's history.
  call.reply(wire::Paths{});
  return {};
}

Handled query_missing(const wire::QueryMissing& request, Call& call) {
  auto plan = policy::plan_build(request.targets, call.session);
  if (plan.unreadable) plan.missing.insert(*plan.unreadable);
  // Nothing is substituted, as far as a build can tell.
  call.reply(wire::Missing{plan.derivations, {}, plan.missing, 0, 0});
  return {};
}

Handled query_realisation(const wire::QueryRealisation&, Call& call) {
  call.reply(wire::Texts{});
  return {};
}

Handled set_options(const wire::SetOptions& request, Call& call) {
  const auto restricted = policy::restricted_settings(request);
  if (!restricted.empty())
    wire::write_log_message(
        call.to, wire::LogLine{fmt::format("{}\n", policy::restricted_warning(restricted))},
        call.version);
  call.upstream.set_options(policy::passed_on(request));
  call.reply();
  return {};
}

Handled nar_from_path(const wire::NarFromPath& request, Call& call) {
  wire::RawSink sink(call.reply());
  dump(request.path, sink, call);
  return {};
}

Handled export_path(const wire::ExportPath& request, Call& call) {
  // The archive, and behind it what an import needs: no deriver, no signature.
  constexpr std::uint64_t export_magic = 0x4558494e;
  const auto info = call.session.path_info(request.path);
  WriteMessages sink(call);
  dump(request.path, sink, call);
  wire::Writer trailer(sink, call.session.layout());
  trailer.u64(export_magic);
  trailer.path(request.path);
  trailer.paths(info.references);
  trailer.optional_path(std::nullopt);
  trailer.u64(0);
  sink.flush();
  call.reply(wire::Done{});
  return {};
}

}  // namespace airlock::handlers
