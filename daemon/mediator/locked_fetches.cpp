#include "daemon/mediator/locked_fetches.hpp"

#include <fmt/format.h>

#include <array>

#include "daemon/core/nar.hpp"
#include "daemon/core/plain_line.hpp"
#include "daemon/fetch/conversation.hpp"
#include "daemon/mediator/call.hpp"
#include "daemon/mediator/hashing_sink.hpp"
#include "daemon/policy/fetching.hpp"
#include "daemon/wire/fd_stream.hpp"

namespace airlock {

namespace {

using fetch::Lock;

/// What was fetched is not what the lock says, or it stopped in the middle.
class FetchFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void copy_all(fetch::Content& content, Sink& sink, std::uint64_t most) {
  std::array<char, 64 * 1024> block{};
  std::uint64_t total = 0;
  while (const auto n = content.read_some(block)) {
    total += n;
    if (total > most) throw ConnectionOver(fmt::format("it is larger than {} bytes", most));
    sink.write({block.data(), n});
  }
}

/// Passes the content on and compares it with the lock before upstream is told that it was all.
void pass_on(const Lock& lock, fetch::Content& content, Sink& sink, std::uint64_t most) {
  HashingSink hashing(sink);
  try {
    if (lock.address.method == IngestionMethod::recursive) {
      NarLimits limits;
      limits.size = most;
      copy_nar(content, hashing, limits);
      std::array<char, 1> more{};
      if (content.read_some(more) != 0) throw ConnectionOver("more follows than one archive");
    } else {
      copy_all(content, hashing, most);
    }
  } catch (const wire::WatchedHungUp&) {
    throw;
  } catch (const ConnectionOver& over) {
    throw FetchFailed(
        fmt::format("cannot fetch {}: what came broke off or is no archive ({}); the log of "
                    "airlock-fetchd says why, as in `journalctl --unit airlock-fetchd`",
                    lock.origin.print(), over.what()));
  }
  const auto got = hashing.finish();
  if (got != lock.address.hash)
    throw FetchFailed(fmt::format(
        "{} is not what its lock says: the hash is sha256:{}, and the lock has sha256:{}; lock it "
        "anew or correct the URL",
        lock.origin.print(), got.nix32(), lock.address.hash.nix32()));
}

/// Adds it to the store. The failure is one sentence.
std::optional<std::string> add(const Lock& lock, fetch::Content& content, Call& call) {
  const auto flat = lock.address.method != IngestionMethod::recursive;
  wire::AddToStore request;
  request.name = lock.path.name();
  request.method = flat ? "fixed:sha256" : "fixed:r:sha256";
  try {
    // A connection of its own: it is left in the middle of an upload when the content is wrong.
    const auto upstream = call.services.connect_upstream();
    const auto added = upstream->add_to_store(request, [&](Sink& sink) {
      pass_on(lock, content, sink, call.services.config.limits.nar_bytes);
    });
    if (!added)
      throw Condemned(policy::rule::host,
                      fmt::format("what was fetched from {} is not in the store, since nix-daemon "
                                  "did not add it: {}",
                                  lock.origin.print(), one_plain_line(added.error().message)));
    if (added->first != lock.path)
      throw Condemned(policy::rule::host, fmt::format("nix-daemon made {} of what should be {}",
                                                      added->first.base(), lock.path.base()));
    call.session.grant({lock.path}, "fetched");
  } catch (const FetchFailed& failed) {
    return failed.what();
  }
  return std::nullopt;
}

}  // namespace

std::string LockedFetches::fetch_one(const Lock& lock, Call& call) {
  // Its content follows from its name, so it may be the host's own; a host without it gives the
  // same answer, or ends the build.
  if (call.session.grant_if_valid(lock.path, "fetched")) return {};
  if (call.services.fetcher == nullptr)
    return fmt::format("{} cannot be fetched here: this airlock has no fetcher",
                       lock.origin.print());
  const auto form =
      lock.address.method == IngestionMethod::recursive ? fetch::Form::archive : fetch::Form::flat;
  const auto turn =
      call.services.fetch_turns->await(turns_, [&call] { call.check_that_client_waits(); });
  const auto content = call.services.fetcher->fetch({lock.origin, form}, call.client);
  if (!content) return content.error();
  return add(lock, **content, call).value_or("");
}

std::optional<LockedFetches::Outcome> LockedFetches::make_visible(const StorePath& path,
                                                                  Call& call) {
  const auto lock = locks_.find(path);
  if (lock == locks_.end() || call.session.visible(path)) return std::nullopt;
  const auto& origin = lock->second.origin;
  Outcome outcome{policy::fetch_locked(path, origin.print(), origin.scheme(),
                                       call.services.config.fetch, call.session),
                  origin.print(),
                  {}};
  if (outcome.verdict.refused()) {
    outcome.failure = outcome.verdict.message();
    return outcome;
  }
  if (auto ended = take_turn(path, call)) {
    outcome.failure = *std::move(ended);
  } else {
    try {
      outcome.failure = fetch_one(lock->second, call);
    } catch (...) {
      finish(path, {});  // the next one in line tries
      throw;
    }
    finish(path, outcome.failure);
  }
  if (!outcome.failure.empty() && call.session.fixed_output() == FixedOutputPolicy::sealed)
    throw Condemned(policy::rule::sealed,
                    fmt::format("a locked fetch failed: {}", outcome.failure));
  return outcome;
}

std::optional<std::string> LockedFetches::hint(const StorePath& path,
                                               const policy::Scene& scene) const {
  if (path.name() != "source" && !path.name().ends_with("-src")) return std::nullopt;
  if (locks_.contains(path) || scene.visible(path)) return std::nullopt;
  return fmt::format(
      "airlock: {} is not in this build, and no lock file of its derivation says where it comes "
      "from; to have it fetched, name its URL and hash in flake.lock, npins/sources.json or "
      "nix/sources.json at the top of one of the derivation's sources, or in a file that its "
      "attribute airlockLocks lists",
      scene.layout().print(path));
}

std::optional<std::string> LockedFetches::take_turn(const StorePath& path, const Call& call) {
  std::unique_lock lock(mutex_);
  while (under_way_.contains(path)) {
    lock.unlock();
    call.check_that_client_waits();
    lock.lock();
    if (under_way_.contains(path)) done_.wait_for(lock, FetchTurns::look_out);
  }
  if (const auto failed = failed_.find(path); failed != failed_.end()) return failed->second;
  if (call.session.visible(path)) return std::string();
  under_way_.insert(path);
  return std::nullopt;
}

void LockedFetches::finish(const StorePath& path, const std::string& failure) {
  {
    const std::lock_guard lock(mutex_);
    under_way_.erase(path);
    if (!failure.empty()) failed_[path] = failure;
  }
  done_.notify_all();
}

}  // namespace airlock
