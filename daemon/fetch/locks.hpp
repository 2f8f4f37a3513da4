#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "daemon/core/content_address.hpp"

namespace airlock::fetch {

enum class Kind : std::uint64_t {
  file,     ///< the content at a URL
  tarball,  ///< the tree in the archive at a URL, without the one folder at its top
  git,      ///< the tree of a revision in the git repository at a URL
  folder,   ///< a folder of this machine ("path:/…")
};

/// What is to be fetched, in the one form that airlock-fetchd takes. `url` begins with one of the
/// schemes of FetchConfig ("git+" is not part of it) and holds printable ASCII only.
struct Origin {
  Kind kind = Kind::file;
  std::string url;
  std::string rev;  ///< of git: 40 or 64 hexadecimal digits; else empty

  [[nodiscard]] std::string_view scheme() const;
  /// For people: "git+https://host/repository?rev=…".
  [[nodiscard]] std::string print() const;
  bool operator==(const Origin&) const = default;
};

/// One fetch whose outcome is known before: this path, which has no references.
struct Lock {
  StorePath path;
  ContentAddress address;  ///< sha256, recursive or flat
  Origin origin;
};
using Locks = std::map<StorePath, Lock>;

inline constexpr std::size_t largest_lock_file = 4 << 20;
inline constexpr std::size_t most_locks = 8192;  ///< of one file, and of one session

/// The locks in a text of one of the formats that are told apart by their shape:
///
///   flake.lock   {"version": 7, "nodes": …}: inputs of the types github, gitlab, sourcehut, git,
///                tarball, file and path that have a narHash; name "source"
///   npins        {"version": …, "pins": …}: pins with a url and a hash; "source", or for a PyPI
///                package's file the URL's last part
///   niv          {"<name>": {"url": …, "sha256": …}}: name "<name>-src"
///   airlock      [{"url": …, "hash": …, "name": …, "unpack": …}]: as fetchTarball (unpack true),
///                fetchurl, or for "git+https://…?rev=…" the tree of that revision
///
/// An entry of another tool's file that is not locked, or that leads nowhere, is passed over: it
/// is for the tool to say. In airlock's own format every entry must be right. The error is one
/// sentence and begins with `file`.
[[nodiscard]] tl::expected<std::vector<Lock>, std::string> parse_locks(const StoreLayout& layout,
                                                                       std::string_view text,
                                                                       const std::string& file);

/// Whether a source that came over a socket has the form that parse_locks makes.
[[nodiscard]] bool is_canonical(const Origin& origin);

}  // namespace airlock::fetch
