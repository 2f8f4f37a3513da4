#include "fusefs/sessions.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "fusefs/condemn.hpp"

namespace airlock::fusefs {
namespace {

using boundary::MessageType;

constexpr std::size_t max_sessions = 4096;
constexpr std::chrono::seconds ready_deadline{10};
constexpr std::chrono::milliseconds longest_look_out{500};
/// After a start: airlockd connects by itself, many times a second.
constexpr std::chrono::seconds mediator_delay{5};
constexpr std::chrono::milliseconds mediator_look_out{50};

constexpr const char* no_mediator =
    "airlockd is not running; start it (systemctl start airlockd) and build again";
constexpr const char* mediator_stopped =
    "airlockd stopped while this build was in the airlock; build again";
constexpr const char* stopped =
    "airlock-fs was stopped while this build was in the airlock; build again";

/// Numbers are never used again, also not by the next airlock-fs: a late message about an old
/// session must not mean a new one.
std::uint64_t random_base() {
  std::uint64_t base = 0;
  if (::getrandom(&base, sizeof base, 0) != sizeof base) {
    throw std::runtime_error(failure("get random bytes"));
  }
  return (base >> 1) + 1;
}

}  // namespace

Sessions::Sessions(SessionParts parts)
    : parts_(std::move(parts)),
      next_number_(random_base()),
      mediator_due_(EventLoop::Clock::now() + mediator_delay) {}

Session* Sessions::find(std::uint64_t number) {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second.get();
}

Session* Sessions::find(const StorePath& derivation) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
    return entry.second->derivation == derivation;
  });
  return found == sessions_.end() ? nullptr : found->second.get();
}

std::size_t Sessions::count_open() const {
  return static_cast<std::size_t>(std::count_if(
      sessions_.begin(), sessions_.end(),
      [](const auto& entry) { return entry.second->state != Session::State::ended; }));
}

void Sessions::announce(Announcement announcement, AnnounceAnswer answer) {
  const bool may_come = !parts_.mediator.is_connected() && EventLoop::Clock::now() < mediator_due_;
  if (may_come && !announcement.first) {
    auto waiting = std::make_shared<Announcement>(std::move(announcement));
    parts_.loop.after(mediator_look_out, [this, waiting, answer = std::move(answer)]() mutable {
      announce(std::move(*waiting), std::move(answer));
    });
    return;
  }
  if (Session* older = find(announcement.derivation)) {
    // Nix builds a derivation once at a time, so the older build is over whatever we know of it.
    condemn(*older, "this derivation is being built again");
    if (find(announcement.derivation) == older) close(*older);
  }
  const char* refusal = nullptr;
  if (!parts_.mediator.is_connected()) refusal = no_mediator;
  if (sessions_.size() >= max_sessions) refusal = "too many builds are in the airlock";
  if (refusal != nullptr) {
    if (announcement.first) kill_sandbox(*announcement.first, refusal);
    return answer(tl::unexpected<std::string>(refusal));
  }
  auto first = std::move(announcement.first);
  while (sessions_.contains(next_number_)) ++next_number_;
  Session& session = insert(std::move(announcement), next_number_++);
  session.answer = std::move(answer);
  if (first) bind_first(session, std::move(*first));
  if (!parts_.records.write(session.record())) {
    return refuse(session, "airlock-fs cannot write its record of the session");
  }
  if (auto bound = give_socket(session); !bound) return refuse(session, bound.error());
  Fd listening(::fcntl(session.listening.get(), F_DUPFD_CLOEXEC, 0));
  session.told_mediator = true;
  std::vector<std::string> opened{session.derivation.base()};
  if (session.first) opened.emplace_back("static");
  parts_.mediator.send({MessageType::session_opened, session.number, 0, std::move(opened)},
                       std::move(listening));
  session.answer_deadline = parts_.loop.after(ready_deadline, [this, number = session.number] {
    Session* waiting = find(number);
    if (waiting == nullptr) return;
    waiting->answer_deadline.reset();
    refuse(*waiting, "airlockd did not take the session in time; see its log, and build again");
  });
  watch_worker(session);
}

Session& Sessions::insert(Announcement announcement, std::uint64_t number) {
  auto session = std::make_unique<Session>(number, announcement.derivation);
  session->chroot = std::move(announcement.chroot);
  session->chroot_identity = announcement.chroot_identity;
  session->worker = std::move(announcement.worker);
  session->worker_stamp = announcement.worker_stamp;
  return *sessions_.emplace(session->number, std::move(session)).first->second;
}

tl::expected<void, std::string> Sessions::give_socket(Session& session) {
  auto bound = parts_.mount.sockets().take();
  if (!bound) return tl::unexpected(bound.error());
  parts_.tree.add(session.derivation);
  parts_.tree.set_socket(session.derivation, bound->node);
  session.listening = std::move(bound->listening);
  return {};
}

void Sessions::refuse(Session& session, const std::string& sentence) {
  if (session.resumes()) return give_up(session, sentence);
  // In static mode the builder runs already, and there is no hook to fail the build.
  if (session.first) kill_sandbox(*session.first, sentence);
  spdlog::warn("{}: refused: {}", session.derivation.base(), sentence);
  const auto answer = std::move(session.answer);
  session.answer = nullptr;
  close(session);
  if (answer) answer(tl::unexpected(sentence));
}

void Sessions::watch_worker(Session& session) {
  parts_.loop.watch(session.worker.get(), POLLIN,
                    [this, number = session.number](short) { on_worker_gone(number); });
}

void Sessions::look_out(Session& session) {
  session.look_out.reset();
  if (session.state != Session::State::open || session.first) return;
  // Its parent is the worker; a build that the worker has left behind is somebody else's child.
  const bool everywhere = !session.worker.is_open();
  auto first = parts_.callers.find_first_process(session.chroot_identity, session.worker_stamp.pid,
                                                 everywhere);
  if (first) return bind_first(session, std::move(*first));
  if (!session.chroot || !still_exists(session.chroot.get())) return end(session);
  session.look_out_delay = std::min(session.look_out_delay * 2, longest_look_out);
  session.look_out = parts_.loop.after(session.look_out_delay, [this, number = session.number] {
    if (Session* found = find(number)) look_out(*found);
  });
}

void Sessions::bind_first(Session& session, FirstProcess first) {
  session.first = std::move(first);
  session.first_for_grafts =
      std::make_shared<const Fd>(::fcntl(session.first->process.get(), F_DUPFD_CLOEXEC, 0));
  if (session.look_out) parts_.loop.cancel(*session.look_out);
  session.look_out.reset();
  parts_.records.write(session.record());
  spdlog::debug("{}: the first process is {}", session.derivation.base(), session.first->stamp.pid);
  parts_.loop.watch(session.first->process.get(), POLLIN,
                    [this, number = session.number](short) { on_first_gone(number); });
  if (session.condemned) return (void)kill_sandbox(*session.first, *session.condemned);
  // It had bound its part of the view before it could be seen, perhaps before that one died.
  if (!session.adopted || session.state != Session::State::open) return;
  const auto held = view_of(*session.first);
  if (held && held->device != parts_.mount.device()) put_back(session, held->folder, [](bool) {});
}

void Sessions::condemn(Session& session, const std::string& reason) {
  if (session.state == Session::State::opening) return refuse(session, reason);
  if (session.state == Session::State::ended || session.condemned) return;
  spdlog::warn("{}: condemned: {}", session.derivation.base(), printable(reason));
  session.condemned = reason;
  if (session.first) {
    kill_sandbox(*session.first, reason);
    return;
  }
  auto first = parts_.callers.find_first_process(session.chroot_identity, 0, true);
  if (first) bind_first(session, std::move(*first));
  // Otherwise it has not started yet: the look-out kills it when it does.
}

void Sessions::on_worker_gone(std::uint64_t number) {
  Session* session = find(number);
  if (session == nullptr) return;
  parts_.loop.forget(session->worker.get());
  session->worker.reset();
  if (session->state == Session::State::opening && !session->adopted) {
    return refuse(*session, "the Nix worker is gone");
  }
  if (session->state == Session::State::ended) return settle_if_due(*session);
  // Nix 2.8 and 2.26 leave the build running when their worker is killed.
  condemn(*session, "the Nix worker of this build is gone");
  session = find(number);
  if (session != nullptr && !session->first) end(*session);
}

void Sessions::end(Session& session) {
  if (session.state == Session::State::ended) return;
  spdlog::info("{}: ended", session.derivation.base());
  session.state = Session::State::ended;
  if (session.answer_deadline) parts_.loop.cancel(*session.answer_deadline);
  session.answer_deadline.reset();
  if (session.first) parts_.loop.forget(session.first->process.get());
  clients_.release(session.number);
  remove_from_view(session);
  tell_mediator(session, MessageType::session_ended);
  settle_if_due(session);
}

void Sessions::settle_if_due(Session& session) {
  if (session.worker || session.settling) return;
  session.settling = true;
  parts_.settle_program.run(session.derivation, [this, number = session.number] {
    if (Session* found = find(number)) close(*found);
  });
}

void Sessions::settled(const StorePath& derivation) {
  Session* session = find(derivation);
  if (session == nullptr) return;
  end(*session);
  tell_mediator(*session, MessageType::session_settled);
  close(*session);
}

void Sessions::close(Session& session) {
  spdlog::info("{}: closed", session.derivation.base());
  remove_from_view(session);
  tell_mediator(session, MessageType::session_closed);
  if (session.worker) parts_.loop.forget(session.worker.get());
  if (session.first) parts_.loop.forget(session.first->process.get());
  if (session.answer_deadline) parts_.loop.cancel(*session.answer_deadline);
  if (session.look_out) parts_.loop.cancel(*session.look_out);
  clients_.release(session.number);
  parts_.records.remove(session.derivation);
  parts_.grafter.forget(session.derivation);
  sessions_.erase(session.number);
  if (sessions_.empty()) parts_.mount.sockets().refill();
}

void Sessions::remove_from_view(Session& session) {
  if (!session.listening) return;
  // airlockd has the descriptor too; this ends it for both.
  ::shutdown(session.listening.get(), SHUT_RDWR);
  session.listening.reset();
  if (session.first) parts_.contacts.forget(session.first->namespace_identity);
  parts_.tree.remove(session.derivation);
  parts_.mount.drop_cached(session.derivation.base());
}

void Sessions::tell_mediator(const Session& session, MessageType type) {
  if (session.told_mediator) parts_.mediator.send({type, session.number, 0, {}});
}

void Sessions::on_mediator_lost() {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, session] : sessions_) numbers.push_back(number);
  for (const auto number : numbers) {
    Session* session = find(number);
    if (session == nullptr) continue;
    session->told_mediator = false;
    condemn(*session, mediator_stopped);
  }
}

void Sessions::shut_down(ForSuccessor leave) {
  for (const auto& [sandbox, arrival] : arrivals_) {
    if (parts_.contacts.is_needed(sandbox, Contacts::Else::answer))
      kill_sandbox(arrival->first, stopped);
  }
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, session] : sessions_) numbers.push_back(number);
  for (const auto number : numbers) {
    Session* session = find(number);
    if (session == nullptr || session->state == Session::State::ended) continue;
    // A hook that still waits is told; nothing runs there yet.
    const bool runs = session->state == Session::State::open || session->resumes();
    if (leave == ForSuccessor::yes && runs && !session->condemned) continue;
    condemn(*session, stopped);
    session = find(number);
    if (session == nullptr) continue;
    // Its build fails, so there will be no outputs to settle.
    remove_from_view(*session);
    parts_.records.remove(session->derivation);
  }
}

}  // namespace airlock::fusefs
