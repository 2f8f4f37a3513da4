#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tl/expected.hpp>
#include <utility>

#include "fusefs/boundary/fd.hpp"
#include "fusefs/boundary/store_path.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/records.hpp"

namespace airlock::fusefs {

/// What root's hook says about a build that is about to start, checked; in static mode what was
/// found out about one that runs.
struct Announcement {
  StorePath derivation;
  Fd chroot;  ///< the folder that the sandbox will be rooted in, O_PATH
  FileIdentity chroot_identity;
  Fd worker;  ///< pidfd of the nix-daemon process that builds: the hook's parent
  ProcessStamp worker_stamp;
  std::optional<FirstProcess> first{};  ///< in static mode, where nothing is announced
};

/// What the hook is told: the folder to bind at the parent of Nix's state folder, or why not.
using AnnounceAnswer = std::function<void(tl::expected<std::string, std::string>)>;

/// One build's right to be in the airlock, as airlock-fs knows it.
///
///   opening ──session_ready──▶ open ──first process gone──▶ ended ──settled, or worker gone──▶
///   closed
///
/// One that is taken over from a predecessor, its sandbox running on, is opening (resumes) until
/// airlockd has taken it as well and its sandbox sees the view again.
///
/// A closed session is no longer there. Condemning does not change the state: it kills, and the end
/// follows from that.
struct Session {
  enum class State { opening, open, ended };

  Session(std::uint64_t a_number, StorePath a_derivation)
      : number(a_number), derivation(std::move(a_derivation)) {}

  std::uint64_t number;
  StorePath derivation;
  State state = State::opening;

  Fd chroot;  ///< not open in a session taken over from a predecessor whose folder is gone
  FileIdentity chroot_identity;
  Fd worker;  ///< not open once it is gone
  ProcessStamp worker_stamp;
  std::optional<FirstProcess> first;           ///< bound once, at first sight
  std::shared_ptr<const Fd> first_for_grafts;  ///< its pidfd again
  bool verified = false;                       ///< a process of the sandbox has called

  Fd listening;
  bool adopted = false;                  ///< its sandbox may have a predecessor's view
  bool told_mediator = false;            ///< the airlockd that is connected knows it
  std::optional<std::string> condemned;  ///< why
  bool settling = false;                 ///< the settle program runs
  std::set<std::string, std::less<>> granted;

  AnnounceAnswer answer;  ///< while opening
  std::optional<EventLoop::Timer> answer_deadline;
  std::optional<EventLoop::Timer> look_out;  ///< for the first process, or the end of the chroot
  std::chrono::milliseconds look_out_delay{20};

  [[nodiscard]] bool takes_requests() const {
    return state == State::open && !condemned && told_mediator;
  }
  [[nodiscard]] bool resumes() const { return state == State::opening && adopted; }
  [[nodiscard]] SessionRecord record() const {
    return {number,
            derivation,
            chroot_identity,
            worker_stamp,
            first ? std::optional(first->stamp) : std::nullopt,
            verified};
  }
};

}  // namespace airlock::fusefs
