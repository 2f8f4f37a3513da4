#include "daemon/mediator/session.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "daemon/core/plain_line.hpp"
#include "daemon/policy/fixed_output.hpp"

namespace airlock {

namespace {

/// What a session keeps of parsed derivations, in bytes of their text, about.
constexpr std::size_t most_kept = 16 << 20;

std::size_t size_of(const Derivation& derivation) {
  constexpr std::size_t node = 128;
  std::size_t size = node * (1 + derivation.outputs.size() + derivation.input_sources.size() +
                             derivation.input_derivations.size());
  for (const auto& argument : derivation.arguments) size += node + argument.size();
  for (const auto& [name, value] : derivation.environment)
    size += node + name.size() + value.size();
  return size;
}

}  // namespace

tl::expected<Derivation, std::string> read_derivation(const Config& config, const StorePath& path) {
  const auto name = config.layout.print(path);
  const Fd file(::open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file) return tl::unexpected(fmt::format("cannot open {}: {}", name, std::strerror(errno)));
  std::string text;
  std::array<char, 64 * 1024> buffer{};
  for (;;) {
    const auto n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0) return tl::unexpected(fmt::format("cannot read {}: {}", name, std::strerror(errno)));
    if (n == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > config.limits.derivation_bytes)
      return tl::unexpected(
          fmt::format("{} is larger than {} bytes", name, config.limits.derivation_bytes));
  }
  auto derivation = Derivation::parse_as(config.layout, path.name(), text);
  if (!derivation) return tl::unexpected(fmt::format("{}: {}", name, derivation.error()));
  return derivation;
}

Session::Session(SessionNumber number, LedgerSession ledger_id, StorePath path,
                 Derivation derivation, std::set<StorePath> inputs, Services& services,
                 fetch::Locks locks)
    : number_(number),
      ledger_id_(ledger_id),
      path_(std::move(path)),
      derivation_(std::move(derivation)),
      // A word that is none had its session refused (prepare_session).
      fixed_output_(policy::fixed_output_of(derivation_, services.config.fixed_output)
                        .value_or(FixedOutputPolicy::closed)),
      services_(services),
      visible_(std::move(inputs)),
      debts_(services.config.layout, path_),
      spare_upstream_(services.connect_upstream, [this] { keep_roots(); }),
      infos_(services.config.layout, services.connect_upstream, services.use_database),
      fetches_(std::move(locks)) {}

bool Session::visible(const StorePath& path) const {
  const std::shared_lock lock(visible_mutex_);
  return visible_.contains(path);
}

std::set<StorePath> Session::visible_paths() const {
  const std::shared_lock lock(visible_mutex_);
  return visible_;
}

std::set<StorePath> Session::listed_paths() const {
  const std::shared_lock lock(visible_mutex_);
  auto listed = visible_;
  listed.insert(on_their_way_.begin(), on_their_way_.end());
  return listed;
}

std::optional<StorePath> Session::visible_path_with_hash(std::string_view hash_part) const {
  const std::shared_lock lock(visible_mutex_);
  for (const auto& path : visible_)
    if (path.hash_part() == hash_part) return path;
  return std::nullopt;
}

bool Session::is_own_output(const StorePath& path) const {
  for (const auto& [name, output] : derivation_.outputs)
    if (output.path == path) return true;
  return false;
}

bool Session::has_content_addressed_output() const {
  return !derivation_.outputs.empty() && derivation_.kind() == DerivationKind::fixed_output;
}

std::shared_ptr<const Derivation> Session::derivation(const StorePath& path) const {
  return path.is_derivation() && visible(path) ? added_derivation(path) : nullptr;
}

std::shared_ptr<const Derivation> Session::added_derivation(const StorePath& path) const {
  if (!path.is_derivation()) return nullptr;
  const std::lock_guard lock(derivations_mutex_);
  if (const auto known = derivations_.find(path); known != derivations_.end()) return known->second;
  auto parsed = read_derivation(services_.config, path);
  if (!parsed) return nullptr;
  auto derivation = std::make_shared<const Derivation>(*std::move(parsed));
  keep(path, derivation);
  return derivation;
}

void Session::keep(const StorePath& path,
                   const std::shared_ptr<const Derivation>& derivation) const {
  const auto size = size_of(*derivation);
  if (derivations_size_ + size > most_kept) return;
  if (derivations_.try_emplace(path, derivation).second) derivations_size_ += size;
}

void Session::count_operation() {
  const auto most = services_.config.limits.operations;
  if (++operations_ > most && services_.profile == Profile::strict)
    throw Condemned(policy::rule::limits,
                    "it asked for more operations than allowed: " + limit_hint("operations", most));
}

void Session::remember(const StorePath& path, Derivation derivation) {
  const std::lock_guard lock(derivations_mutex_);
  keep(path, std::make_shared<const Derivation>(std::move(derivation)));
}

wire::PathInfo Session::path_info(const StorePath& path) {
  auto info = infos_.query(path);
  if (!info)
    throw Condemned(policy::rule::host,
                    fmt::format("{} was visible and is gone from the store", layout().print(path)));
  return censored(*std::move(info));
}

wire::PathInfo Session::censored(wire::PathInfo info) {
  info.deriver.reset();
  info.registration_time = 0;
  info.ultimate = false;
  info.signatures.clear();
  return info;
}

std::set<StorePath> Session::referrers(const StorePath& path) {
  std::set<StorePath> found;
  for (const auto& candidate : visible_paths())
    if (const auto info = infos_.query(candidate); info && info->references.contains(path))
      found.insert(candidate);
  return found;
}

Upstream& Session::roots_connection() {
  if (!call_for_roots()) roots_ = coming_roots_.get();
  return *roots_;
}

bool Session::call_for_roots() {
  if (!roots_ && !coming_roots_.valid())
    coming_roots_ = std::async(std::launch::async | std::launch::deferred,
                               [this] { return services_.connect_upstream(); });
  if (!roots_ && coming_roots_.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
    roots_ = coming_roots_.get();
  return roots_ != nullptr;
}

void Session::expect_grants() {
  const std::lock_guard lock(granting_);
  call_for_roots();
}

PathInfos::Sizes Session::not_visible(const std::set<StorePath>& paths) {
  return infos_.closure(
      paths, [this](const StorePath& path) { return visible(path); },
      [this](const StorePath& path) {
        throw Condemned(
            policy::rule::host,
            fmt::format("{} was promised by nix-daemon and is not valid", layout().print(path)));
      });
}

void Session::grant(const std::set<StorePath>& paths, const std::string& how) {
  const std::lock_guard lock(granting_);
  reveal(not_visible(paths), how, Holder::nobody);
}

void Session::grant_added(const std::set<StorePath>& paths) {
  const std::lock_guard lock(granting_);
  const auto closure = not_visible(paths);
  const bool all_added = std::all_of(closure.begin(), closure.end(),
                                     [&](const auto& one) { return paths.contains(one.first); });
  reveal(closure, "added", all_added ? Holder::who_added_it : Holder::nobody);
}

void Session::grant_added(const StorePath& path, const wire::PathInfo& info) {
  const bool closed = std::all_of(
      info.references.begin(), info.references.end(),
      [&](const StorePath& reference) { return reference == path || visible(reference); });
  if (!closed) return grant({path}, "added");
  const std::lock_guard lock(granting_);
  if (!visible(path)) reveal({{path, info.nar_size}}, "added", Holder::who_added_it);
}

void Session::hold(const std::set<StorePath>& paths, Holder holder) {
  if (holder == Holder::nobody) roots_connection().ask_temp_roots({paths.begin(), paths.end()});
  if (services_.keeps_debts)
    for (const auto& path : paths)
      if (auto held = debts_.hold(path); !held) throw Condemned(policy::rule::host, held.error());
  if (holder == Holder::who_added_it) {
    held_by_adder_.insert(paths.begin(), paths.end());
    return;
  }
  if (auto held = roots_connection().await_temp_roots(); !held)
    throw Condemned(policy::rule::host, held.error().message);
}

void Session::keep_roots() noexcept {
  try {
    const std::lock_guard lock(granting_);
    if (held_by_adder_.empty() || ended()) return;
    auto& roots = roots_connection();
    roots.ask_temp_roots({held_by_adder_.begin(), held_by_adder_.end()});
    if (auto held = roots.await_temp_roots(); !held) throw UpstreamLost(held.error().message);
    held_by_adder_.clear();
  } catch (const std::exception& error) {
    spdlog::error("{}: what it added could not be held: {}", path_.base(), error.what());
  }
}

void Session::reveal(const PathInfos::Sizes& closure, const std::string& how, Holder holder) {
  if (closure.empty()) return;
  account_for(closure);
  auto paths = paths_in(closure);
  hold(paths, holder);
  {
    const std::unique_lock visible_lock(visible_mutex_);
    on_their_way_ = paths;
  }
  if (auto done = services_.boundary.grant(number_, paths); !done)
    throw Condemned(policy::rule::host, done.error());
  for (const auto& path : paths) services_.ledger.record_grant(ledger_id_, path, how);
  const std::unique_lock visible_lock(visible_mutex_);
  visible_.merge(paths);
  on_their_way_.clear();
}

bool Session::grant_if_valid(const StorePath& path, const std::string& how) {
  if (!infos_.query(path)) return false;
  grant({path}, how);
  return true;
}

void Session::account_for(const PathInfos::Sizes& closure) {
  for (const auto& [path, size] : closure) {
    count(path, size);
    taken_.erase(path);
  }
  require_limits();
}

void Session::count_taken(const StorePath& path, std::uint64_t bytes) {
  const std::lock_guard lock(granting_);
  if (visible(path)) return;
  count(path, bytes);
  require_limits();
}

void Session::count(const StorePath& path, std::uint64_t bytes) {
  const auto [taken, is_new] = taken_.try_emplace(path, 0);
  if (is_new) ++granted_paths_;
  if (bytes <= taken->second) return;
  granted_bytes_ += bytes - taken->second;
  taken->second = bytes;
}

void Session::require_limits() const {
  const auto& limits = services_.config.limits;
  if (granted_paths_ > limits.paths)
    throw Condemned(policy::rule::limits,
                    fmt::format("it added and built more store paths than allowed: {}",
                                limit_hint("paths", limits.paths)));
  if (granted_bytes_ > limits.granted_bytes)
    throw Condemned(policy::rule::limits,
                    fmt::format("what it added and built is larger than allowed, in bytes: {}",
                                limit_hint("granted-bytes", limits.granted_bytes)));
}

void Session::note(const std::set<StorePath>& paths) {
  const auto closure = infos_.closure(
      paths, [this](const StorePath& path) { return visible(path); }, [](const StorePath&) {});
  const std::unique_lock visible_lock(visible_mutex_);
  visible_.merge(paths_in(closure));
}

std::set<StorePath> Session::outputs_of(const wire::Target& target) const {
  std::set<StorePath> outputs;
  const auto built = derivation(target.path);
  if (!built || !target.through.empty()) return outputs;
  for (const auto& [name, output] : built->outputs)
    if (output.path && (target.outputs.empty() || target.outputs.contains(name)))
      outputs.insert(*output.path);
  return outputs;
}

bool Session::condemn(const policy::Condemnation& why) {
  const auto reason = one_plain_line(why.reason);
  {
    const std::lock_guard lock(state_mutex_);
    if (ended_ || killed_) return true;
    if (condemned_) return false;  // tried, or being tried, by another connection
    condemned_ = true;
  }
  spdlog::warn("{}: condemned: {}", path_.base(), reason);
  services_.builds.condemned(path_, {why.rule, reason});
  services_.ledger.set_state(ledger_id_, SessionState::open, "condemned: " + reason);
  if (auto done = services_.boundary.condemn(number_, reason); !done) {
    spdlog::error("{}: could not be ended: {}", path_.base(), done.error());
    return false;
  }
  const std::lock_guard lock(state_mutex_);
  killed_ = true;
  return true;
}

void Session::hold() const {
  std::unique_lock lock(state_mutex_);
  stopping_.wait(lock, [this] { return stopped_; });
}

void Session::stop() {
  const std::lock_guard lock(state_mutex_);
  stopped_ = true;
  stopping_.notify_all();
}

bool Session::condemned() const {
  const std::lock_guard lock(state_mutex_);
  return condemned_;
}

bool Session::ended() const {
  const std::lock_guard lock(state_mutex_);
  return ended_;
}

void Session::end() {
  {
    const std::lock_guard lock(state_mutex_);
    ended_ = true;
  }
  debts_.close();
  spare_upstream_.close();
  const std::lock_guard lock(granting_);
  roots_.reset();
}

void Session::join() {
  std::future<std::unique_ptr<Upstream>> coming;  // waited for without the lock
  const std::lock_guard lock(granting_);
  coming = std::move(coming_roots_);
}

}  // namespace airlock
