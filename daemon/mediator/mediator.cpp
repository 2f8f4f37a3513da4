#include "daemon/mediator/mediator.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <system_error>

namespace airlock {

using boundary::MessageType;

Mediator::Mediator(const Config& config, Ledger& ledger, UpstreamFactory connect,
                   ControlChannel& control)
    : config_(config),
      ledger_(ledger),
      control_(control),
      builds_(ledger, config.limits),
      fetcher_(config),
      services_{config,          ledger, control, builds_,   std::move(connect),
                Profile::strict, true,   true,    &fetcher_, &fetch_turns_},
      watch_(
          builds_, [&config] { return find_build_users(config.layout); },
          [this](const Builds::Ending& ending) { condemn(ending); }) {}

std::unique_ptr<SessionServer> Mediator::serve(SessionNumber number, const StorePath& derivation,
                                               bool announced, Fd listening) {
  return std::make_unique<SessionServer>(
      std::move(listening),
      [this, number, derivation, announced]() -> std::shared_ptr<Session> {
        try {
          return open(number, derivation, announced);
        } catch (const std::exception& unexpected) {
          refuse(number, derivation, {unexpected.what()});
          return nullptr;
        }
      },
      [this](Session& session) { resume(session); }, services_);
}

void Mediator::handle(boundary::Received received) {
  const auto& message = received.message;
  const auto number = message.session;
  switch (message.type) {
    case MessageType::session_opened:
      opened(std::move(received));
      return;
    case MessageType::session_resumed:
      resumed(std::move(received));
      return;
    case MessageType::resumption_over:
      end_the_rest();
      return;
    case MessageType::session_ended:
      end(number);
      return;
    case MessageType::session_settled:
      settled(number);
      return;
    case MessageType::session_closed:
      close(number);
      return;
    default:
      spdlog::warn("airlock-fs sent a message of type {}, which is not for airlockd",
                   static_cast<std::uint32_t>(message.type));
  }
}

void Mediator::opened(boundary::Received received) {
  const auto& message = received.message;
  const auto number = message.session;
  auto path = message.strings.empty() ? tl::unexpected(std::string("it names no derivation"))
                                      : StorePath::parse(message.strings.front());
  if (!path || !received.descriptor) {
    control_.refuse(number, "airlock-fs announced a session without a derivation or a socket");
    return;
  }
  const std::lock_guard lock(mutex_);
  auto [entry, fresh] = sessions_.try_emplace(number, Hosted{*path, 0, false, {}, nullptr});
  if (!fresh) return;
  control_.add(number);
  // With a hook it was announced; without one airlock-fs met it.
  const bool announced = message.strings.size() == 1;
  try {
    entry->second.server = serve(number, *path, announced, std::move(received.descriptor));
  } catch (const std::system_error& error) {
    sessions_.erase(entry);
    refuse(number, *path, {fmt::format("airlockd cannot start a thread: {}", error.what())});
    control_.remove(number);
  }
}

void Mediator::resumed(boundary::Received received) {
  const auto& message = received.message;
  const auto number = message.session;
  const auto derivation = message.strings.empty() ? std::string() : message.strings.front();
  {
    const std::lock_guard lock(mutex_);
    // Also one that is refused is ended by airlock-fs, and only then here.
    resumed_.insert(number);
    const auto entry = sessions_.find(number);
    if (entry != sessions_.end() && received.descriptor && !entry->second.ended &&
        entry->second.derivation.base() == derivation) {
      const auto session = entry->second.server->session();
      if (session && !session->condemned())
        return entry->second.server->resume(std::move(received.descriptor));
    }
  }
  spdlog::warn("{}: not resumed: it is not open here", derivation);
  control_.refuse(number,
                  "airlock-fs was restarted while this build was in the airlock; build again");
}

/// On the session's own thread.
void Mediator::resume(Session& session) {
  Boundary::View view;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = sessions_.find(session.number());
    if (entry == sessions_.end()) return;
    view = entry->second.view;
  }
  const auto done = control_.resume(session.number(), session.listed_paths(), view);
  // airlock-fs ends what it could not resume, and the next one resumes what this one left.
  if (done)
    spdlog::info("{}: resumed", session.path().base());
  else
    spdlog::warn("{}: not resumed: {}", session.path().base(), done.error());
}

/// What airlock-fs has not named it has ended.
void Mediator::end_the_rest() {
  std::vector<SessionNumber> others;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, hosted] : sessions_)
      if (!resumed_.contains(number)) others.push_back(number);
    resumed_.clear();
  }
  for (const auto number : others) close(number);
}

void Mediator::lost() {
  const std::lock_guard lock(mutex_);
  resumed_.clear();
}

std::uint32_t Mediator::depth_below(const std::set<LedgerSession>& parents) {
  const std::lock_guard lock(mutex_);
  std::uint32_t depth = 0;
  for (const auto parent : parents)
    if (const auto known = depths_.find(parent); known != depths_.end())
      depth = std::max(depth, known->second);
  return depth + 1;
}

void Mediator::refuse(SessionNumber number, const StorePath& derivation, const Refusal& refusal) {
  spdlog::warn("{}: refused: {}", derivation.base(), refusal.reason);
  if (refusal.follows_from_derivation)
    builds_.refused(derivation, refusal.reason);
  else
    builds_.condemned(derivation, {refusal.rule, refusal.reason});
  control_.refuse(number, refusal.reason);
}

std::shared_ptr<Session> Mediator::open(SessionNumber number, const StorePath& derivation,
                                        bool announced) {
  auto prepared = prepare_session(config_, derivation, announced, services_.connect_upstream);
  if (!prepared) {
    refuse(number, derivation, prepared.error());
    return nullptr;
  }
  if (!*prepared) {
    control_.decline(number);
    return nullptr;
  }
  auto& opening = *prepared;
  auto work = waits::Work::of(derivation, opening->derivation);
  const auto parents = builds_.waiting_for(work);
  const auto depth = depth_below(parents);
  if (depth > config_.limits.depth) {
    refuse(number, derivation,
           {fmt::format("it would be {} builds deep inside other builds: {}", depth,
                        limit_hint("depth", config_.limits.depth)),
            false, policy::rule::limits});
    return nullptr;
  }
  if (auto revealed = control_.reveal(number, opening->inputs); !revealed) {
    refuse(number, derivation, {revealed.error()});
    return nullptr;
  }
  const auto ledger_id = ledger_.open_session(derivation, parents);
  {
    const std::lock_guard lock(mutex_);
    const auto entry = sessions_.find(number);
    if (entry == sessions_.end() || entry->second.ended) {
      ledger_.set_state(ledger_id, SessionState::closed, "the sandbox was gone before it was open");
      return nullptr;
    }
    entry->second.ledger_id = ledger_id;
    entry->second.view = opening->view;
    depths_[ledger_id] = depth;
  }
  builds_.session_opened(std::move(work), ledger_id);
  spdlog::info("{}: session {} is open", derivation.base(), ledger_id);
  control_.ready(number, opening->view);
  return std::make_shared<Session>(number, ledger_id, derivation, std::move(opening->derivation),
                                   std::move(opening->inputs), services_,
                                   std::move(opening->locks));
}

void Mediator::end(SessionNumber number) {
  const std::lock_guard lock(mutex_);
  const auto entry = sessions_.find(number);
  if (entry == sessions_.end() || entry->second.ended) return;
  entry->second.ended = true;
  if (entry->second.ledger_id != 0)
    ledger_.set_state(entry->second.ledger_id, SessionState::ended, {});
  entry->second.server->stop();
}

void Mediator::settled(SessionNumber number) {
  const std::lock_guard lock(mutex_);
  const auto entry = sessions_.find(number);
  if (entry != sessions_.end() && entry->second.ledger_id != 0)
    ledger_.set_state(entry->second.ledger_id, SessionState::settled, {});
}

void Mediator::condemn_all(const std::string& reason) {
  // Each waits for airlock-fs, whose messages must not wait for this: so without the lock.
  std::vector<std::shared_ptr<Session>> sessions;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [number, hosted] : sessions_)
      if (auto session = hosted.server->session(); session && !hosted.ended)
        sessions.push_back(std::move(session));
  }
  for (const auto& session : sessions) (void)session->condemn({policy::rule::host, reason});
}

void Mediator::condemn(const Builds::Ending& ending) {
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [number, hosted] : sessions_)
      if (hosted.ledger_id == ending.session && !hosted.ended) session = hosted.server->session();
  }
  if (session) (void)session->condemn(ending.why);
}

void Mediator::close(SessionNumber number) {
  end(number);
  control_.remove(number);
  std::list<std::unique_ptr<SessionServer>>
      finished;  // destroyed, that is joined, without the lock
  const std::lock_guard lock(mutex_);
  if (const auto entry = sessions_.find(number); entry != sessions_.end()) {
    auto& hosted = entry->second;
    if (hosted.ledger_id != 0) {
      ledger_.set_state(hosted.ledger_id, SessionState::closed, {});
      builds_.session_closed(hosted.ledger_id);
      depths_.erase(hosted.ledger_id);
    }
    closing_.push_back(std::move(hosted.server));
    sessions_.erase(entry);
  }
  for (auto server = closing_.begin(); server != closing_.end();) {
    const auto next = std::next(server);
    if ((*server)->finished()) finished.splice(finished.end(), closing_, server);
    server = next;
  }
}

}  // namespace airlock
