#include "daemon/guest/closed.hpp"

#include <algorithm>

namespace airlock::guest {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/// What a path literal of Nix's is made of, but for the slash.
bool in_path(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-' || c == '+';
}

/// The longest prefix whose characters all are, or are a slash.
std::string_view path_at_start(std::string_view text) {
  const auto end =
      std::find_if(text.begin(), text.end(), [](char c) { return !in_path(c) && c != '/'; });
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

/// In a store path's name there may be more: "?" and "=".
std::string_view base_at_start(std::string_view text) {
  const auto end = std::find_if(text.begin(), text.end(),
                                [](char c) { return !in_path(c) && c != '?' && c != '='; });
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

/// Goes through an expression from slash to slash.
class Scan {
 public:
  Scan(const StoreLayout& layout, std::string_view text)
      : prefix_(layout.store_dir + "/"), text_(text) {}

  std::optional<std::set<StorePath>> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '<' && skip_search_path()) continue;
      if (c == '/' && !store_path() && !operation()) return std::nullopt;
      if (c != '/') ++at_;
    }
    return std::move(found_);
  }

 private:
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
  [[nodiscard]] char before() const { return at_ == 0 ? ' ' : text_[at_ - 1]; }
  [[nodiscard]] char after(std::size_t length) const {
    return at_ + length < text_.size() ? text_[at_ + length] : ' ';
  }

  bool skip_search_path() {
    const auto path = path_at_start(rest().substr(1));
    const bool is_one = !path.empty() && path.front() != '/' && after(1 + path.size()) == '>' &&
                        path.find("..") == std::string_view::npos;
    if (is_one) at_ += path.size() + 2;
    return is_one;
  }

  bool store_path() {
    const char c = before();
    if (!rest().starts_with(prefix_) || in_path(c) || c == '~' || c == '}') return false;
    const auto base = base_at_start(rest().substr(prefix_.size()));
    auto path = StorePath::parse(base);
    if (!path) return false;
    auto length = prefix_.size() + base.size();
    const auto below = path_at_start(rest().substr(length));
    length += below.size();
    const bool leaves = below.find("..") != std::string_view::npos || after(length) == '$';
    if (leaves) return false;
    found_.insert(*std::move(path));
    at_ += length;
    return true;
  }

  bool operation() {
    const std::size_t length = rest().starts_with("//") ? 2 : 1;
    if (!is_space(before()) || !is_space(after(length))) return false;
    at_ += length;
    return true;
  }

  const std::string prefix_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::set<StorePath> found_;
};

}  // namespace

std::optional<std::set<StorePath>> closed_expression(const StoreLayout& layout,
                                                     std::string_view text) {
  return Scan(layout, text).run();
}

std::optional<std::set<StorePath>> closed_string(const StoreLayout& layout, std::string_view text) {
  const auto prefix = layout.store_dir + "/";
  if (text.starts_with('/') && !text.starts_with(prefix)) return std::nullopt;
  if (text.starts_with('/') && text.find("/..") != std::string_view::npos) return std::nullopt;
  std::set<StorePath> found;
  for (auto at = text.find(prefix); at != std::string_view::npos; at = text.find(prefix, at + 1)) {
    auto path = StorePath::parse(base_at_start(text.substr(at + prefix.size())));
    if (!path) return std::nullopt;
    found.insert(*std::move(path));
  }
  return found;
}

std::optional<StorePath> store_path_of(const StoreLayout& layout, std::string_view file) {
  const auto prefix = layout.store_dir + "/";
  if (!file.starts_with(prefix)) return std::nullopt;
  const auto below = file.substr(prefix.size());
  auto path = StorePath::parse(below.substr(0, below.find('/')));
  if (!path) return std::nullopt;
  return *std::move(path);
}

}  // namespace airlock::guest
