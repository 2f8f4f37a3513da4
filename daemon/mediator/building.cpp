// Building on a sandbox's behalf, and what of the outcome it may learn.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "daemon/mediator/build_answers.hpp"
#include "daemon/mediator/build_log.hpp"
#include "daemon/mediator/failure_text.hpp"
#include "daemon/mediator/handlers.hpp"
#include "daemon/mediator/upstream_waits.hpp"
#include "daemon/policy/build_plan.hpp"

namespace airlock::handlers {

namespace {

using wire::BuildStatus;
using wire::KeyedBuildResult;

/// Does this outcome follow from the derivation? What does not must not be seen. (input_rejected
/// does not: newer Nix says so, too, of a system or a feature that the host does not have.)
bool follows_from_derivation(const wire::BuildResult& result) {
  switch (result.status) {
    case BuildStatus::permanent_failure:
      // Whoever kills a builder is not asked: the kernel when memory is short, or Nix itself.
      return reason_in(result.error).find("due to signal 9 ") == std::string_view::npos;
    case BuildStatus::output_rejected:
    case BuildStatus::dependency_failed:
    case BuildStatus::not_deterministic:
      return true;
    default:
      return false;
  }
}

void condemn_for_the_host(const std::vector<KeyedBuildResult>& results,
                          const policy::BuildPlan& plan, const Session& session) {
  const auto given_up = [](const auto& keyed) { return abandoned(keyed.result); };
  if (std::all_of(results.begin(), results.end(), given_up) && !results.empty())
    throw Condemned(policy::rule::host, "nix-daemon gave up a build and did not say why");
  // What has the network fails transiently, as Nix sees it. Under `open` that is an answer.
  const auto answer_of_the_network = [&](const KeyedBuildResult& keyed) {
    return session.fixed_output() == FixedOutputPolicy::open &&
           keyed.result.status == BuildStatus::transient_failure &&
           plan.fixed_output.contains(keyed.target.path);
  };
  for (const auto& keyed : results)
    if (!keyed.succeeded() && !follows_from_derivation(keyed.result) && !given_up(keyed) &&
        !answer_of_the_network(keyed))
      throw Condemned(
          policy::rule::host,
          fmt::format("building {} failed for a reason of this machine: {}",
                      wire::print_target(session.layout(), keyed.target), keyed.result.error));
}

/// A fixed-output derivation had the network to fail on, so its failure is an answer of the
/// network's.
void condemn_for_the_network(const std::vector<KeyedBuildResult>& results,
                             const policy::BuildPlan& plan, Call& call) {
  if (call.session.fixed_output() != FixedOutputPolicy::sealed) return;
  for (const auto& result : results)
    if (!result.succeeded() && !abandoned(result.result) &&
        plan.fixed_output.contains(result.target.path))
      throw Condemned(
          policy::rule::sealed,
          fmt::format("the fixed-output derivation {} was not built; its log is not shown inside",
                      call.session.layout().print(result.target.path)));
}

/// How long Nix may take to see that another build of the same derivation is over: what it has for
/// `build-poll-interval` where nothing is set. To wait longer here than that would gain nothing.
constexpr std::chrono::seconds lock_poll{5};

/// Throws Condemned.
std::unique_ptr<Builds::Ticket> admit(const policy::BuildPlan& plan, Call& call) {
  auto ticket = call.services.builds.begin(call.session.ledger_id(), plan,
                                           [&call] { call.check_that_client_waits(); });
  if (!ticket) throw Condemned(ticket.error());
  return *std::move(ticket);
}

/// One request of upstream's, watched: when it waits for too long the session is ended, which is
/// how the wait ends.
Upstream::Result<std::vector<KeyedBuildResult>> build_upstream(const wire::Targets& targets,
                                                               Builds::Ticket& ticket,
                                                               BuildLog& log, Call& call) {
  UpstreamWaits waits;
  const auto relay = [&](const wire::LogMessage& message) {
    if (waits.note(message, Builds::Clock::now())) ticket.upstream_waits_for(waits.now());
    log.relay(message);
  };
  call.session.expect_grants();
  try {
    auto results = call.upstream.get().build(targets, relay, call.client);
    if (const auto reason = ticket.ended()) throw Condemned(*reason);
    return results;
  } catch (const ConnectionOver&) {
    if (const auto reason = ticket.ended()) throw Condemned(*reason);
    throw;
  }
}

/// The reason of a session for which another's end is one; said once, however deep that was.
policy::Condemnation ended_inside(policy::Condemnation inside) {
  constexpr std::string_view prefix = "a build inside it was ended: ";
  if (!inside.reason.starts_with(prefix)) inside.reason.insert(0, prefix);
  return inside;
}

/// Did all that was asked for succeed? Then nothing of how it came about is to be seen.
bool all_succeeded(const Upstream::Result<std::vector<KeyedBuildResult>>& results) {
  return results && std::all_of(results->begin(), results->end(),
                                [](const auto& result) { return result.succeeded(); });
}

wire::Targets::iterator find(wire::Targets& targets, const StorePath& path) {
  return std::find_if(targets.begin(), targets.end(),
                      [&](const auto& target) { return target.path == path; });
}

/// A derivation is asked for once, with all outputs that are wanted of it: of one that is asked for
/// twice, upstream gives the same result twice, under one name.
void add_once(wire::Targets& targets, const wire::Target& target) {
  const auto same = find(targets, target.path);
  if (same == targets.end())
    targets.push_back(target);
  else if (target.outputs.empty())
    same->outputs.clear();
  else if (!same->outputs.empty())
    same->outputs.insert(target.outputs.begin(), target.outputs.end());
}

/// Takes what was refused out of the targets, and what needs it; their results.
std::vector<KeyedBuildResult> take_refused(wire::Targets& targets,
                                           const std::map<StorePath, std::string>& refused,
                                           const Session& session) {
  std::vector<KeyedBuildResult> results;
  std::erase_if(targets, [&](const wire::Target& target) {
    const bool itself = refused.contains(target.path);
    const auto needed = policy::plan_build({target}, session).derivations;
    const bool fails = itself || std::any_of(refused.begin(), refused.end(), [&](const auto& each) {
                         return needed.contains(each.first);
                       });
    if (fails)
      results.push_back(
          {target, {itself ? BuildStatus::permanent_failure : BuildStatus::dependency_failed, {}}});
    return fails;
  });
  return results;
}

/// Builds the targets upstream. When a pre-build hook refuses one derivation, Nix gives up all that
/// was asked for with it, and what had been built by then would depend on the host: so all but that
/// one is asked for again.
BuildOutcome build_all_but_refused(wire::Targets targets, Builds::Ticket& ticket, BuildLog& log,
                                   Call& call) {
  BuildOutcome outcome;
  while (!targets.empty()) {
    auto results = build_upstream(targets, ticket, log, call);
    if (const auto reason = ticket.condemned(); reason && !all_succeeded(results))
      throw Condemned(ended_inside(*reason));
    outcome.refused = ticket.refused();
    const bool answered = results.has_value();
    const auto why = answered ? std::string("it gave no result") : results.error().message;
    auto known =
        answered ? *std::move(results) : take_refused(targets, outcome.refused, call.session);
    if (known.empty()) throw Condemned(policy::rule::host, "nix-daemon did not build: " + why);
    std::move(known.begin(), known.end(), std::back_inserter(outcome.results));
    if (answered) break;
  }
  // Without a hook its sandbox was killed, which is not how it is to look.
  for (auto& result : outcome.results)
    if (!result.succeeded() && outcome.refused.contains(result.target.path))
      result.result.status = BuildStatus::permanent_failure;
  return outcome;
}

/// Asks upstream for the targets, and by name for every derivation that it will build on their
/// behalf: of a dependency's failure the dependent's result only says that there was one, and
/// whether it was the host's has to be known.
BuildOutcome ask_upstream(const wire::Targets& targets, const policy::BuildPlan& plan, Call& call) {
  const auto ticket = admit(plan, call);
  const auto will_build = call.upstream.get().query_will_build(targets);
  if (!will_build)
    throw Condemned(policy::rule::host, fmt::format("nix-daemon did not say what is missing: {}",
                                                    will_build.error().message));
  wire::Targets asked;
  for (const auto& target : targets) add_once(asked, target);
  for (const auto& path : *will_build)
    if (plan.derivations.contains(path) && find(asked, path) == asked.end())
      asked.push_back({path, true, {}});
  std::set<StorePath> made;
  for (const auto& target : asked) made.insert(target.path);
  if (!will_build->empty())
    ticket->await_others(made, lock_poll, [&call] { call.check_that_client_waits(); });
  if (const auto reason = ticket->ended()) throw Condemned(*reason);
  const bool open = call.session.fixed_output() == FixedOutputPolicy::open;
  BuildLog log(call.session.layout(), open ? std::set<StorePath>{} : plan.fixed_output, call.to,
               call.version);
  return build_all_but_refused(std::move(asked), *ticket, log, call);
}

/// Builds the targets that are derivations. The outputs of what succeeded are granted, also when
/// something else failed.
BuildAnswers build(const wire::Targets& targets, Call& call) {
  const auto plan = policy::plan_build(targets, call.session);
  wire::Targets derivations;
  std::copy_if(targets.begin(), targets.end(), std::back_inserter(derivations),
               [](const auto& target) { return target.build; });
  BuildOutcome outcome;
  if (!derivations.empty()) outcome = ask_upstream(derivations, plan, call);
  condemn_for_the_network(outcome.results, plan, call);  // first: the host's reason quotes the log
  condemn_for_the_host(outcome.results, plan, call.session);
  BuildAnswers answers(targets, std::move(outcome), call.session);
  std::set<StorePath> built;
  for (const auto& target : derivations)
    if (answers.succeeded(target)) built.merge(call.session.outputs_of(target));
  if (!built.empty()) call.session.grant(built, "built");
  return answers;
}

}  // namespace

Handled build_paths(const wire::BuildPaths& request, Call& call) {
  const auto answers = build(request.targets, call);
  if (!answers.failures().empty()) return tl::unexpected(Failure{answers.failures(), {}});
  call.reply().u64(1);
  return {};
}

Handled build_paths_with_results(const wire::BuildPathsWithResults& request, Call& call) {
  const auto answers = build(request.targets, call);
  auto& to = call.reply();
  to.u64(request.targets.size());
  for (const auto& target : request.targets)
    wire::write_keyed_result(to, target, answers.of(target), call.version);
  return {};
}

Handled build_derivation(const wire::BuildDerivation& request, Call& call) {
  const wire::Target target{request.path, true, {}};
  call.reply(wire::OneBuildResult{build({target}, call).of(target)});
  return {};
}

}  // namespace airlock::handlers
