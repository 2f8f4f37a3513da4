// Static mode. Nothing announces a build; its session is opened when somebody in its sandbox asks
// at `var` for the first time, while that one waits. Which build it is follows from the root folder
// of the sandbox's first process, looked at once: from then on its pid namespace is the session's.

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "fusefs/condemn.hpp"
#include "fusefs/sessions.hpp"

namespace airlock::fusefs {
namespace {

/// airlockd may be on its way up again; what a build finds must not depend on that.
constexpr std::chrono::seconds arrival_deadline{10};
constexpr std::chrono::milliseconds arrival_delay{100};
constexpr std::chrono::seconds second_look{1};
/// What a session usually needs to be open. While this lasts the others wait as well who look for
/// the same name in `var`; after it, only this sandbox.
constexpr std::chrono::milliseconds offer_delay{100};

constexpr const char* no_mediator =
    "this build looked into /nix/var, and airlockd is not running; start it (systemctl start "
    "airlockd) and build again";
constexpr const char* no_worker =
    "the Nix worker of this build is gone; build again when nix-daemon runs";

/// Before Nix has moved the sandbox to its own root it has ours, as no builder's has.
bool has_our_root(const FirstProcess& first) {
  const Fd own(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return own && identity_of(own.get()) == first.root;
}

/// While this is held no other sandbox can be meant by the number, however late it is said.
std::shared_ptr<const Fd> hold(const Fd& pid_namespace) {
  return std::make_shared<const Fd>(::fcntl(pid_namespace.get(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace

void Sessions::on_first_contact(Contacts::FirstContact contact) {
  const auto sandbox = contact.sandbox;
  auto first = identify(std::move(contact));
  if (!first || has_our_root(*first)) return parts_.contacts.forget(sandbox);
  auto folder = find_chroot_folder(parts_.store, *first);
  if (!folder) return turn_away(std::move(*first));
  if (join(*first, *folder)) return;
  const auto deadline = EventLoop::Clock::now() + arrival_deadline;
  arrive(std::make_shared<Arrival>(Arrival{std::move(*first), std::move(*folder), deadline}));
}

std::optional<FirstProcess> Sessions::identify(Contacts::FirstContact contact) const {
  const auto peer = parts_.callers.process_of_waiting(contact.thread);
  if (!peer) return std::nullopt;
  auto first = parts_.callers.first_process(*peer, std::move(contact.pid_namespace));
  if (!first) return std::nullopt;
  return std::move(*first);
}

bool Sessions::join(const FirstProcess& first, const ChrootFolder& folder) {
  Session* session = find(folder.derivation);
  if (session == nullptr) return false;
  if (session->state != Session::State::open && !session->resumes()) return false;
  if (session->chroot_identity != first.root) return false;
  if (session->first && session->first->namespace_identity != first.namespace_identity) {
    return false;
  }
  // It is decided when it is open again.
  if (session->resumes()) {
    offer_later(first.namespace_identity, folder.derivation, hold(first.pid_namespace));
    if (!session->first) look_out(*session);
    return true;
  }
  // A hook has announced it, and its sandbox has this folder all the same.
  if (!session->first) look_out(*session);
  parts_.contacts.decide(first.namespace_identity, folder.derivation);
  return true;
}

void Sessions::arrive(std::shared_ptr<Arrival> arrival) {
  const auto sandbox = arrival->first.namespace_identity;
  arrivals_.erase(sandbox);
  if (!is_alive(arrival->first.process.get())) return parts_.contacts.forget(sandbox);
  if (parts_.mediator.is_connected()) return open_for(arrival);
  const auto late = EventLoop::Clock::now() - arrival->deadline;
  if (late >= EventLoop::Clock::duration::zero()) {
    // What looks at the folder from outside only, as df does, has seen nothing that is a build's.
    // What lists it asks again at once, and has waited long enough.
    const bool leaves = late >= second_look;
    const auto otherwise = leaves ? Contacts::Else::forget : Contacts::Else::answer;
    if (parts_.contacts.is_needed(sandbox, otherwise)) {
      spdlog::warn("{}: condemned: {}", arrival->folder.derivation.base(), no_mediator);
      kill_sandbox(arrival->first, no_mediator);
      return parts_.contacts.forget(sandbox);
    }
    if (leaves) return;
  }
  arrivals_.emplace(sandbox, arrival);
  parts_.loop.after(arrival_delay, [this, arrival] { arrive(arrival); });
}

void Sessions::open_for(const std::shared_ptr<Arrival>& arrival) {
  // The process that waits for the sandbox's first: the nix-daemon worker.
  auto worker = parent_of(arrival->first.stamp.pid);
  const auto stamp = worker.process ? stamp_of(worker.pid) : std::nullopt;
  const auto sandbox = arrival->first.namespace_identity;
  if (!stamp) {
    kill_sandbox(arrival->first, no_worker);
    return parts_.contacts.forget(sandbox);
  }
  const auto root = arrival->first.root;
  const auto held = hold(arrival->first.pid_namespace);
  offer_later(sandbox, arrival->folder.derivation, held);
  Announcement announcement{std::move(arrival->folder.derivation),
                            std::move(arrival->folder.folder),
                            root,
                            std::move(worker.process),
                            *stamp,
                            std::move(arrival->first)};
  announce(std::move(announcement), [this, sandbox, held](const auto& opened) {
    // ready has decided; whoever was refused is dead, and only has to be let go.
    if (!opened) parts_.contacts.forget(sandbox);
  });
}

void Sessions::offer_later(FileIdentity sandbox, const StorePath& derivation,
                           std::shared_ptr<const Fd> held) {
  parts_.loop.after(offer_delay, [this, sandbox, derivation, held = std::move(held)] {
    if (parts_.contacts.offer(sandbox, derivation)) offer_later(sandbox, derivation, held);
  });
}

void Sessions::turn_away(FirstProcess first) {
  const auto sandbox = first.namespace_identity;
  parts_.contacts.decide(sandbox, std::nullopt);
  const auto [entry, fresh] = strangers_.insert_or_assign(sandbox, std::move(first));
  parts_.loop.watch(entry->second.process.get(), POLLIN, [this, sandbox](short) {
    const auto found = strangers_.find(sandbox);
    parts_.loop.forget(found->second.process.get());
    strangers_.erase(found);
    parts_.contacts.forget(sandbox);
  });
}

void Sessions::decline(Session& session) {
  if (!session.first) return refuse(session, "this derivation does not ask for airlock");
  spdlog::debug("{}: does not ask", session.derivation.base());
  parts_.loop.forget(session.first->process.get());
  FirstProcess first = std::move(*session.first);
  session.first.reset();
  session.answer = nullptr;
  close(session);
  turn_away(std::move(first));
}

void Sessions::on_first_gone(std::uint64_t number) {
  Session* session = find(number);
  if (session == nullptr) return;
  if (session->state == Session::State::opening && !session->adopted) {
    return refuse(*session, "the build is over");
  }
  end(*session);
}

}  // namespace airlock::fusefs
