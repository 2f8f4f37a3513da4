#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "daemon/config/account.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock::test {

/// A Nix store of its own in a temporary folder, worked on by the real Nix programs as root without
/// a daemon. Nothing outside the folder is touched; all of it is removed at the end.
class PrivateStore {
 public:
  PrivateStore();
  PrivateStore(const PrivateStore&) = delete;
  PrivateStore& operator=(const PrivateStore&) = delete;
  ~PrivateStore();

  /// Why such a store cannot be made here; empty when it can.
  [[nodiscard]] static std::string unavailable();

  [[nodiscard]] const StoreLayout& layout() const { return layout_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// Who the debts belong to.
  [[nodiscard]] static Account account() { return {65534, 65534}; }

  /// Standard output of a shell command with this store's environment, without the last line end.
  /// Throws when it fails, with what it printed.
  std::string run(const std::string& command) const;
  [[nodiscard]] bool succeeds(const std::string& command) const;

  /// Adds a file to the store.
  StorePath add(const std::string& name, const std::string& content) const;

  /// Builds a derivation written in the Nix language, e.g. `{ script = "echo > $out"; }`: the
  /// attributes beside the usual ones. Returns the .drv.
  StorePath build(const std::string& attributes) const;
  StorePath instantiate(const std::string& attributes) const;
  [[nodiscard]] StorePath output(const StorePath& derivation,
                                 const std::string& name = "out") const;

  /// What airlockd does while a session goes on.
  void owe(const StorePath& derivation, const std::set<StorePath>& granted) const;
  [[nodiscard]] bool owes(const StorePath& derivation) const;

  [[nodiscard]] std::set<StorePath> references(const StorePath& path) const;
  [[nodiscard]] bool is_valid(const StorePath& path) const;
  /// Nix's own check of database and contents.
  [[nodiscard]] bool verifies() const;
  void configure(const std::string& lines) const;  ///< appended to nix.conf

 private:
  std::filesystem::path folder_;
  StoreLayout layout_;
};

}  // namespace airlock::test
