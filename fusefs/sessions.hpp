#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/caller.hpp"
#include "fusefs/chroot_folder.hpp"
#include "fusefs/contacts.hpp"
#include "fusefs/event_loop.hpp"
#include "fusefs/graft/grafter.hpp"
#include "fusefs/held_clients.hpp"
#include "fusefs/mediator_link.hpp"
#include "fusefs/past_views.hpp"
#include "fusefs/records.hpp"
#include "fusefs/session.hpp"
#include "fusefs/settle_program.hpp"
#include "fusefs/view/mount.hpp"
#include "fusefs/view/tree.hpp"

namespace airlock::fusefs {

/// Everything that a session needs of the rest of airlock-fs.
struct SessionParts {
  EventLoop& loop;
  Tree& tree;
  Mount& mount;
  const CallerCheck& callers;
  Contacts& contacts;
  const RecordFolder& records;
  Grafter& grafter;
  MediatorLink& mediator;
  SettleProgram& settle_program;
  std::string mount_point;
  std::string view_target;                ///< where sandboxes have their part of the view
  std::vector<std::uint64_t> dead_views;  ///< devices of predecessors' views
  int store;                              ///< the store folder, O_PATH
};

/// All sessions, from announcement to close, and what airlockd asks of them. Lives on the event
/// loop, which is the only thread that touches a session.
class Sessions {
 public:
  explicit Sessions(SessionParts parts);

  // Asked by root's hooks.

  /// Calls answer once, now or later.
  void announce(Announcement announcement, AnnounceAnswer answer);
  /// The post-build hook of this derivation is done.
  void settled(const StorePath& derivation);
  /// How many have not ended.
  [[nodiscard]] std::size_t count_open() const;
  [[nodiscard]] std::size_t count() const { return sessions_.size(); }

  /// Static mode: somebody in a sandbox asks at `var` for the first time. Decides what it finds
  /// there, perhaps later.
  void on_first_contact(Contacts::FirstContact contact);

  // Said by airlockd. Nothing of it is believed.

  void on_mediator_connected();
  void on_mediator_message(const boundary::Received& received);
  void on_mediator_lost();

  /// Takes over what a predecessor has left: adopts what still runs, or condemns it.
  void take_over(const SessionRecord& record);
  /// Static mode: whoever has a predecessor's `var` gets this one's, also those that have never
  /// looked.
  void put_back_var();

  /// Leaves whatever runs to the next airlock-fs, or condemns it. Those that have ended keep their
  /// records in any case.
  enum class ForSuccessor { yes, no };
  void shut_down(ForSuccessor leave);

 private:
  // sessions.cpp: the life of a session
  [[nodiscard]] Session* find(std::uint64_t number);
  [[nodiscard]] Session* find(const StorePath& derivation);
  Session& insert(Announcement announcement, std::uint64_t number);
  [[nodiscard]] tl::expected<void, std::string> give_socket(Session& session);
  void refuse(Session& session, const std::string& sentence);
  void watch_worker(Session& session);
  void look_out(Session& session);
  void bind_first(Session& session, FirstProcess first);
  void condemn(Session& session, const std::string& reason);
  void on_worker_gone(std::uint64_t number);
  void end(Session& session);
  void settle_if_due(Session& session);
  void close(Session& session);
  void remove_from_view(Session& session);
  void tell_mediator(const Session& session, boundary::MessageType type);

  // adoption.cpp: sessions of a predecessor's
  [[nodiscard]] bool adopt(Session& session);
  void give_up(Session& session, const std::string& reason);
  [[nodiscard]] std::optional<HeldView> view_of(const FirstProcess& first) const;
  void resume(Session& session, const boundary::Message& ready);
  void put_back(Session& session, const std::string& folder, std::function<void(bool)> then);

  // arrivals.cpp: static mode, where a session is opened when its sandbox runs already
  struct Arrival {
    FirstProcess first;
    ChrootFolder folder;
    EventLoop::Clock::time_point deadline;
  };
  [[nodiscard]] std::optional<FirstProcess> identify(Contacts::FirstContact contact) const;
  [[nodiscard]] bool join(const FirstProcess& first, const ChrootFolder& folder);
  void arrive(std::shared_ptr<Arrival> arrival);
  void open_for(const std::shared_ptr<Arrival>& arrival);
  /// Again and again, until it is decided. held: the sandbox's pid namespace.
  void offer_later(FileIdentity sandbox, const StorePath& derivation,
                   std::shared_ptr<const Fd> held);
  void turn_away(FirstProcess first);
  void decline(Session& session);
  void on_first_gone(std::uint64_t number);

  // requests.cpp: what airlockd may ask
  void ready(Session& session, const boundary::Message& message);
  void open(Session& session);
  void reveal(Session& session, const boundary::Message& message);
  struct Grafting;
  void grant(Session& session, const boundary::Message& message);
  void grafted(Grafting& grafting, const StorePath& path, tl::expected<void, Grafter::Error> made);
  void verify(Session& session, const boundary::Message& message, const Fd& socket);
  [[nodiscard]] tl::expected<void, std::string> check_caller(Session& session, int socket);
  void succeed(const boundary::Message& request);
  void fail(const boundary::Message& request, const std::string& sentence);

  SessionParts parts_;
  std::uint64_t next_number_;
  EventLoop::Clock::time_point mediator_due_;  ///< until then it may be on its way
  std::map<std::uint64_t, std::unique_ptr<Session>> sessions_;
  HeldClients clients_;
  std::map<FileIdentity, FirstProcess> strangers_;  ///< sandboxes that find an empty `var`
  std::map<FileIdentity, std::shared_ptr<Arrival>> arrivals_;  ///< that wait for airlockd
};

}  // namespace airlock::fusefs
