#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace airlock {

/// The settings of the running Nix, read as Nix reads nix.conf: "name = value" lines, comments,
/// "include" and "!include", and "extra-name", which adds to what is there. A later value replaces
/// an earlier one.
class NixSettings {
 public:
  /// A file that cannot be read counts as empty, as it does for Nix. An included file that is
  /// missing, or a line that is no setting, is an error: one sentence with file and line.
  [[nodiscard]] tl::expected<void, std::string> apply_file(const std::string& file);

  /// The text of NIX_CONFIG. nix-daemon prints every setting into it, unescaped, so lines that are
  /// no settings may be the rest of one that holds a line end: they are passed over.
  void apply_variable(std::string_view text);

  /// The words of a setting; none when it is not set.
  [[nodiscard]] std::vector<std::string> words(const std::string& name) const;

 private:
  [[nodiscard]] tl::expected<void, std::string> apply(std::string_view text,
                                                      const std::string& file, int depth);
  [[nodiscard]] tl::expected<void, std::string> include(const std::string& named, bool optional,
                                                        const std::string& from, int depth);
  void set(const std::string& name, std::vector<std::string> value);

  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace airlock
