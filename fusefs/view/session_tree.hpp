#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fusefs/boundary/store_path.hpp"

namespace airlock::fusefs {

/// Where Nix keeps its things, as far as the view shows them.
struct ViewLayout {
  std::string store_dir = "/nix/store";
  std::string state_dir = "/nix/var/nix";
};

/// An entry of Nix's search path: <name> in an expression, and the store path it stands for.
struct Channel {
  std::string name;
  StorePath target;
  bool operator==(const Channel&) const = default;
};

/// A line of the view's nix.conf. Name and value are such that they can be nothing but that.
struct NixSetting {
  std::string name;
  std::string value;
  bool operator==(const NixSetting&) const = default;
};

/// What a session's view has besides what every view has.
struct ViewContent {
  std::vector<Channel> channels;
  std::vector<NixSetting> settings;
};

/// What a session's sandbox finds at the parent of Nix's state folder, apart from the content of
/// store paths. All of it follows from the derivation. Pure; not thread-safe (see Tree).
class SessionTree {
 public:
  enum class Kind {
    folder,
    file,
    link,
    socket,
    store,
    guest  ///< the program for sandboxes, see GuestProgram
  };
  struct Entry {
    Kind kind = Kind::folder;
    std::string name;
    std::uint32_t parent = 0;
    std::string text;                     ///< a file's content, a link's target
    std::vector<std::uint32_t> children;  ///< sorted by name
  };
  static constexpr std::uint32_t top = 0;

  SessionTree(StorePath derivation, const ViewLayout& layout);

  [[nodiscard]] const StorePath& derivation() const { return derivation_; }
  [[nodiscard]] const Entry& entry(std::uint32_t index) const { return entries_.at(index); }
  /// The entry's child of that name, or nothing_here.
  [[nodiscard]] std::uint32_t child(std::uint32_t index, std::string_view name) const;
  static constexpr std::uint32_t nothing_here = 0xfffffffe;

  /// airlock/bin/airlock; what else is in that folder links to it.
  static constexpr std::string_view guest_name = "airlock";

  /// "nix/daemon-socket", and the entry that socket is in.
  [[nodiscard]] const std::string& socket_folder() const { return socket_folder_; }
  [[nodiscard]] std::uint32_t socket_parent() const { return socket_parent_; }
  static constexpr std::string_view socket_name = "socket";
  /// The socket appears when it is bound.
  std::uint32_t add_socket();
  /// The node that was bound; 0 before.
  [[nodiscard]] std::uint64_t socket_node() const { return socket_node_; }
  void set_socket_node(std::uint64_t node) { socket_node_ = node; }

  /// Whether the name is one of those at the top, which are the same for all sessions.
  [[nodiscard]] static bool is_at_top(std::string_view name, const ViewLayout& layout);

  /// Whether its session is open. Before that nobody is told what is in here, nor that it will be.
  [[nodiscard]] bool is_published() const { return published_; }
  void set_published() { published_ = true; }

  /// Adds the search path and the settings, and writes both into session.json; once, before anybody
  /// looks.
  void set_content(const ViewContent& content);

  /// The store paths that airlock/store lists. False when there would be too many.
  [[nodiscard]] bool reveal(const StorePath& path);
  [[nodiscard]] bool is_revealed(std::string_view base) const { return revealed_.contains(base); }
  /// In order; the iterators stay good while paths are added.
  [[nodiscard]] const std::set<std::string, std::less<>>& revealed() const { return revealed_; }

 private:
  std::uint32_t add(std::uint32_t parent, Kind kind, std::string name, std::string text = {});
  std::uint32_t add_folders(std::uint32_t parent, std::string_view path);
  void add_channels(const std::vector<Channel>& channels);
  void add_settings(const std::vector<NixSetting>& settings);
  void write_session_json(const ViewContent& content);

  StorePath derivation_;
  ViewLayout layout_;
  std::vector<Entry> entries_;
  std::string socket_folder_;
  std::uint32_t socket_parent_ = 0;
  std::uint64_t socket_node_ = 0;
  bool published_ = false;
  std::uint32_t channels_ = 0;
  std::uint32_t session_json_ = 0;
  std::uint32_t nix_conf_ = 0;
  std::uint32_t etc_nix_conf_ = 0;
  std::set<std::string, std::less<>> revealed_;
};

}  // namespace airlock::fusefs
