// Questions that the session alone answers: a hidden path is answered as one that does not exist.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

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

}  // namespace

Handled is_valid_path(const wire::IsValidPath& request, Call& call) {
  call.reply().boolean(call.session.visible(request.path));
  return {};
}

Handled has_substitutes(const wire::HasSubstitutes&, Call& call) {
  call.reply().boolean(false);
  return {};
}

Handled query_path_hash(const wire::QueryPathHash& request, Call& call) {
  const auto info = call.session.path_info(request.path);
  call.reply().string(info.nar_hash);
  return {};
}

Handled query_references(const wire::QueryReferences& request, Call& call) {
  const auto info = call.session.path_info(request.path);
  call.reply().paths(info.references);
  return {};
}

Handled query_referrers(const wire::QueryReferrers& request, Call& call) {
  const auto referrers = call.session.referrers(request.path);
  call.reply().paths(referrers);
  return {};
}

Handled query_deriver(const wire::QueryDeriver&, Call& call) {
  call.reply().string("");
  return {};
}

Handled query_substitutable_path_info(const wire::QuerySubstitutablePathInfo&, Call& call) {
  call.reply().u64(0);
  return {};
}

Handled query_substitutable_path_infos(const wire::QuerySubstitutablePathInfos&, Call& call) {
  call.reply().u64(0);
  return {};
}

Handled query_substitutable_paths(const wire::QuerySubstitutablePaths&, Call& call) {
  call.reply().paths({});
  return {};
}

Handled query_derivation_outputs(const wire::QueryDerivationOutputs& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  std::set<StorePath> outputs;
  for (const auto& [name, output] : (*derivation)->outputs)
    if (output.path) outputs.insert(*output.path);
  call.reply().paths(outputs);
  return {};
}

Handled query_derivation_output_names(const wire::QueryDerivationOutputNames& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  std::vector<std::string> names;
  for (const auto& [name, output] : (*derivation)->outputs) names.push_back(name);
  call.reply().strings(names);
  return {};
}

Handled query_derivation_output_map(const wire::QueryDerivationOutputMap& request, Call& call) {
  const auto derivation = derivation_of(request.path, call);
  if (!derivation) return tl::unexpected(derivation.error());
  auto& to = call.reply();
  to.u64((*derivation)->outputs.size());
  for (const auto& [name, output] : (*derivation)->outputs) {
    to.string(name);
    to.optional_path(output.path);
  }
  return {};
}

Handled query_all_valid_paths(const wire::QueryAllValidPaths&, Call& call) {
  call.reply().paths(call.session.visible_paths());
  return {};
}

Handled query_path_info(const wire::QueryPathInfo& request, Call& call) {
  if (!call.session.visible(request.path)) {
    call.reply().u64(0);
    return {};
  }
  const auto info = call.session.path_info(request.path);
  auto& to = call.reply();
  to.u64(1);
  wire::write_path_info(to, info);
  return {};
}

Handled query_path_from_hash_part(const wire::QueryPathFromHashPart& request, Call& call) {
  const auto path = call.session.visible_path_with_hash(request.text);
  call.reply().optional_path(path);
  return {};
}

Handled query_valid_paths(const wire::QueryValidPaths& request, Call& call) {
  call.reply().paths(only_visible(request.paths, call.session));
  return {};
}

Handled query_valid_derivers(const wire::QueryValidDerivers&, Call& call) {
  // Which derivations of a path are valid is the host's history.
  call.reply().paths({});
  return {};
}

Handled query_missing(const wire::QueryMissing& request, Call& call) {
  auto plan = policy::plan_build(request.targets, call.session);
  if (plan.unreadable) plan.missing.insert(*plan.unreadable);
  auto& to = call.reply();
  to.paths(plan.derivations);
  to.paths({});  // nothing is substituted, as far as a build can tell
  to.paths(plan.missing);
  to.u64(0);  // download size
  to.u64(0);  // NAR size
  return {};
}

Handled query_realisation(const wire::QueryRealisation&, Call& call) {
  call.reply().u64(0);
  return {};
}

Handled set_options(const wire::SetOptions& request, Call& call) {
  constexpr std::uint64_t most_verbose = 7;
  constexpr std::uint64_t most_jobs = 64;
  constexpr std::uint64_t longest = 7 * 24 * 3600;
  wire::SetOptions passed;
  passed.keep_going = request.keep_going;
  passed.verbosity = std::min(request.verbosity, most_verbose);
  passed.build_verbosity = passed.verbosity;
  passed.max_build_jobs = std::clamp<std::uint64_t>(request.max_build_jobs, 1, most_jobs);
  passed.max_silent_time = std::min(request.max_silent_time, longest);
  passed.build_cores = request.build_cores;
  for (const auto& [name, value] : request.overrides) {
    std::uint64_t seconds = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (name == "timeout" && parsed.ec == std::errc() && parsed.ptr == value.data() + value.size())
      passed.overrides.emplace_back(name, std::to_string(std::min(seconds, longest)));
  }
  call.upstream.set_options(passed);
  call.reply();
  return {};
}

Handled nar_from_path(const wire::NarFromPath& request, Call& call) {
  const Fd store(::open(call.session.layout().store_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  auto& to = call.reply();
  class RawSink final : public Sink {
   public:
    explicit RawSink(wire::Writer& writer) : writer_(writer) {}
    void write(std::string_view bytes) override { writer_.raw(bytes); }

   private:
    wire::Writer& writer_;
  } sink(to);
  try {
    dump_nar(store.get(), request.path.base(), sink);
  } catch (const std::system_error& error) {
    // The archive has begun: there is no way to say so but to end the connection, and the sandbox.
    throw Condemned(fmt::format("{} cannot be read: {}", call.session.layout().print(request.path),
                                error.what()));
  }
  return {};
}

}  // namespace airlock::handlers
