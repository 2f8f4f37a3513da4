// The sessions that an airlock-fs has left behind, whatever way it ended. A sandbox whose first
// process lives goes on: its session gets its folder in the new view, a new socket in it, and the
// folder is put over the part of the dead view that the sandbox has. What cannot be had again in
// all of its parts is ended.

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "fusefs/condemn.hpp"
#include "fusefs/sessions.hpp"

namespace airlock::fusefs {
namespace {

using boundary::Message;
using boundary::MessageType;

/// airlockd looks for a new airlock-fs many times a second; it may itself be on its way up.
constexpr std::chrono::seconds resume_deadline{20};

constexpr const char* restarted =
    "airlock-fs was restarted while this build was in the airlock; build again";

}  // namespace

void Sessions::take_over(const SessionRecord& record) {
  Announcement announcement{record.derivation,
                            open_chroot_folder(parts_.store, record.derivation, record.chroot),
                            record.chroot, open_process(record.worker), record.worker};
  const bool fresh = find(record.number) == nullptr;
  while (sessions_.contains(next_number_)) ++next_number_;
  Session& session = insert(std::move(announcement), fresh ? record.number : next_number_++);
  session.adopted = true;
  session.verified = record.verified;
  if (session.worker) watch_worker(session);
  auto first = record.first ? parts_.callers.first_process(*record.first) : std::nullopt;
  // Without the folder another one may have its number by now, and another build be rooted there.
  if (!first && session.chroot) {
    first = parts_.callers.find_first_process(record.chroot, 0, true);
  }
  const bool over = record.first && !first;
  if (first) bind_first(session, std::move(*first));
  if (!fresh || over || !adopt(session)) give_up(session, restarted);
}

/// False when it cannot be had again.
bool Sessions::adopt(Session& session) {
  if (!session.worker || !session.chroot) return false;
  if (session.first && !view_of(*session.first)) return false;
  if (auto bound = give_socket(session); !bound) {
    spdlog::warn("{}: {}", session.derivation.base(), bound.error());
    return false;
  }
  session.answer_deadline = parts_.loop.after(resume_deadline, [this, number = session.number] {
    Session* waiting = find(number);
    if (waiting == nullptr) return;
    waiting->answer_deadline.reset();
    refuse(*waiting, restarted);
  });
  return true;
}

/// What runs is ended, and what follows is the end of any session.
void Sessions::give_up(Session& session, const std::string& reason) {
  const auto number = session.number;
  session.state = Session::State::open;
  session.adopted = false;
  if (session.answer_deadline) parts_.loop.cancel(*session.answer_deadline);
  session.answer_deadline.reset();
  if (session.first || session.chroot) condemn(session, reason);
  if (Session* still = find(number)) look_out(*still);
  if (Session* still = find(number); still != nullptr && !still->first && !still->chroot) {
    end(*still);
  }
}

/// The view that the sandbox has, be it ours or a predecessor's.
std::optional<HeldView> Sessions::view_of(const FirstProcess& first) const {
  auto devices = parts_.dead_views;
  devices.push_back(parts_.mount.device());
  return held_view(first, parts_.view_target, devices);
}

void Sessions::on_mediator_connected() {
  mediator_due_ = {};
  parts_.mediator.send({MessageType::welcome, 0, 0, {}});
  for (const auto& [number, session] : sessions_) {
    if (!session->resumes()) continue;
    session->told_mediator = true;
    parts_.mediator.send({MessageType::session_resumed, number, 0, {session->derivation.base()}},
                         Fd(::fcntl(session->listening.get(), F_DUPFD_CLOEXEC, 0)));
  }
  parts_.mediator.send({MessageType::resumption_over, 0, 0, {}});
}

/// airlockd has it again; published.
void Sessions::resume(Session& session, const Message& ready) {
  const auto finish = [this, ready](bool done) {
    Session* resumed = find(ready.session);
    if (done && resumed != nullptr) open(*resumed);
    if (ready.request == 0) return;
    return done ? succeed(ready) : fail(ready, "the session could not be resumed");
  };
  // One that has not started yet will have its part of this view, or bind_first finds out.
  if (!session.first) return finish(true);
  const auto held = view_of(*session.first);
  if (held) return put_back(session, held->folder, finish);
  give_up(session, restarted);
  finish(false);
}

/// A sandbox without its view is ended.
void Sessions::put_back(Session& session, const std::string& folder,
                        std::function<void(bool)> then) {
  const auto& place = folder == Tree::var_name ? folder : session.derivation.base();
  parts_.grafter.put_back(
      place, parts_.dead_views, session.first_for_grafts,
      [this, number = session.number, then = std::move(then)](const auto& done) {
        Session* found = find(number);
        const bool over = found == nullptr || found->condemned.has_value() ||
                          found->state == Session::State::ended;
        if (!done && !over) {
          const auto reason = std::string(restarted) + " (" + done.error().sentence + ")";
          found->resumes() ? give_up(*found, reason) : condemn(*found, reason);
        }
        then(done.has_value() && !over);
      });
}

void Sessions::put_back_var() {
  if (parts_.dead_views.empty()) return;
  for (const auto& first : parts_.callers.all_first_processes()) {
    const auto held = held_view(first, parts_.view_target, parts_.dead_views);
    if (!held || held->folder != Tree::var_name) continue;
    auto process = std::make_shared<const Fd>(::fcntl(first.process.get(), F_DUPFD_CLOEXEC, 0));
    parts_.grafter.put_back(held->folder, parts_.dead_views, std::move(process),
                            [pid = first.stamp.pid](const auto& done) {
                              if (!done)
                                spdlog::warn("the sandbox of {}: no view: {}", pid,
                                             done.error().sentence);
                            });
  }
}

}  // namespace airlock::fusefs
