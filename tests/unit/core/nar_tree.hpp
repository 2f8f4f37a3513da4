#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace airlock::test {

/// A file tree in memory and, written apart from the code under test, its archive.
struct Tree {
  struct File {
    std::string contents;
    bool executable = false;
  };
  struct Symlink {
    std::string target;
  };
  using Folder = std::map<std::string, Tree>;
  std::variant<File, Symlink, Folder> node;
};

inline std::string nar_string(const std::string& text) {
  std::string result;
  for (unsigned i = 0; i < 8; ++i) result += static_cast<char>(text.size() >> (8 * i) & 0xff);
  result += text;
  while (result.size() % 8 != 0) result += '\0';
  return result;
}

inline std::string nar_strings(const std::vector<std::string>& texts) {
  std::string result;
  for (const auto& text : texts) result += nar_string(text);
  return result;
}

inline std::string nar_node(const Tree& tree) {
  if (const auto* file = std::get_if<Tree::File>(&tree.node)) {
    return nar_strings({"(", "type", "regular"}) +
           (file->executable ? nar_strings({"executable", ""}) : "") +
           nar_strings({"contents", file->contents, ")"});
  }
  if (const auto* symlink = std::get_if<Tree::Symlink>(&tree.node)) {
    return nar_strings({"(", "type", "symlink", "target", symlink->target, ")"});
  }
  std::string result = nar_strings({"(", "type", "directory"});
  for (const auto& [name, child] : std::get<Tree::Folder>(tree.node)) {
    result += nar_strings({"entry", "(", "name", name, "node"}) + nar_node(child) + nar_string(")");
  }
  return result + nar_string(")");
}

inline std::string nar(const Tree& tree) {
  return nar_string("nix-archive-1") + nar_node(tree);
}

}  // namespace airlock::test
