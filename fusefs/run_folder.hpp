#pragma once

#include <sys/types.h>

#include <string>

#include "fusefs/boundary/channel.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fusefs {

struct User {
  uid_t uid;
  gid_t gid;
};

/// Throws std::runtime_error when there is no such user.
[[nodiscard]] User find_user(const std::string& name);

/// The folders and sockets below /run, and the one in Nix's state folder, with their owners and
/// modes. What the constructor made the destructor removes. All of it throws std::runtime_error
/// with one sentence.
class RunFolder {
 public:
  /// Also takes the lock that keeps a second airlock-fs away.
  RunFolder(boundary::SocketPaths paths, User mediator);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  [[nodiscard]] std::string records() const { return paths_.private_folder() + "/sessions"; }
  [[nodiscard]] std::string past_views() const { return paths_.private_folder() + "/views"; }
  /// Bound and listening.
  [[nodiscard]] Fd listen_for_hooks() const;
  /// Bound only: an airlockd is not let in before MediatorLink::listen.
  [[nodiscard]] Fd bind_for_mediator() const;

 private:
  boundary::SocketPaths paths_;
  User mediator_;
  Fd lock_;
};

/// <state>/gcroots/airlock, where airlockd keeps what it has promised from being collected.
void make_roots_folder(const std::string& state_dir, User owner);

}  // namespace airlock::fusefs
