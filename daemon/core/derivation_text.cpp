#include "daemon/core/derivation_text.hpp"

#include "daemon/core/derivation.hpp"
#include "daemon/core/quote.hpp"

namespace airlock {
namespace {

void put_plain(std::string& text, std::string_view value) {
  text += '"';
  text += value;
  text += '"';
}

void put_string(std::string& text, std::string_view value) {
  text += '"';
  for (const char c : value) {
    switch (c) {
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\t':
        text += "\\t";
        break;
      default:
        text += c;
    }
  }
  text += '"';
}

template <typename Items, typename Put>
void put_list(std::string& text, const Items& items, Put put) {
  text += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) text += ',';
    first = false;
    put(item);
  }
  text += ']';
}

/// Adds a key that must come after all those before it.
template <typename Map, typename Key>
typename Map::mapped_type* append(DerivationReader& reader, Map& map, Key key) {
  if (!map.empty() && !(map.rbegin()->first < key)) {
    reader.fail("its parts are not in rising order");
    return nullptr;
  }
  return &map.emplace_hint(map.end(), std::move(key), typename Map::mapped_type{})->second;
}

template <typename Key>
void append(DerivationReader& reader, std::set<Key>& set, Key key) {
  if (!set.empty() && !(*set.rbegin() < key)) {
    return reader.fail("its parts are not in rising order");
  }
  set.insert(set.end(), std::move(key));
}

void read_output(DerivationReader& in, Derivation& derivation) {
  in.expect("(");
  auto* output = append(in, derivation.outputs, in.plain());
  in.expect(",");
  auto path = in.path_or_empty();
  in.expect(",");
  auto algorithm = in.plain();
  in.expect(",");
  auto hash = in.plain();
  in.expect(")");
  if (!in.failed()) *output = {std::move(path), std::move(algorithm), std::move(hash)};
}

void read_input_derivation(DerivationReader& in, Derivation& derivation) {
  in.expect("(");
  auto path = in.path();
  in.expect(",");
  std::set<std::string> names;
  in.list([&] { append(in, names, in.plain()); });
  in.expect(")");
  if (in.failed()) return;
  auto* outputs = append(in, derivation.input_derivations, *std::move(path));
  if (outputs != nullptr) *outputs = std::move(names);
}

void read_variable(DerivationReader& in, Derivation& derivation) {
  in.expect("(");
  auto* value = append(in, derivation.environment, in.string());
  in.expect(",");
  auto text = in.string();
  in.expect(")");
  if (!in.failed()) *value = std::move(text);
}

}  // namespace

void DerivationReader::fail(std::string sentence) {
  if (error_) return;
  error_ = "the derivation is malformed at byte " + std::to_string(text_.size() - rest_.size()) +
           ": " + std::move(sentence);
  rest_ = {};
}

bool DerivationReader::accept(std::string_view literal) {
  if (!rest_.starts_with(literal)) return false;
  rest_.remove_prefix(literal.size());
  return true;
}

void DerivationReader::expect(std::string_view literal) {
  if (!accept(literal)) fail("expected " + quote(literal));
}

std::string DerivationReader::string() {
  std::string value;
  expect("\"");
  for (std::size_t i = 0; i < rest_.size(); ++i) {
    char c = rest_[i];
    if (c == '"') {
      rest_.remove_prefix(i + 1);
      return value;
    }
    if (c == '\\') {
      switch (++i < rest_.size() ? rest_[i] : '\0') {
        case 'n':
          c = '\n';
          break;
        case 'r':
          c = '\r';
          break;
        case 't':
          c = '\t';
          break;
        case '"':
          c = '"';
          break;
        case '\\':
          break;
        default:
          fail("a string holds an unknown escape");
          return {};
      }
    } else if (c == '\n' || c == '\r' || c == '\t') {
      fail("a string holds a character that is to be escaped");
      return {};
    }
    value += c;
  }
  fail("a string does not end");
  return {};
}

std::string DerivationReader::plain() {
  expect("\"");
  const auto end = rest_.find_first_of("\"\\");
  if (end == std::string_view::npos || rest_[end] == '\\') {
    fail("expected a string without escapes");
    return {};
  }
  std::string value(rest_.substr(0, end));
  rest_.remove_prefix(end + 1);
  return value;
}

std::optional<StorePath> DerivationReader::parse_path(std::string_view text) {
  auto path = layout_.parse(text);
  if (path) return *std::move(path);
  fail(path.error());
  return std::nullopt;
}

std::optional<StorePath> DerivationReader::path() {
  return parse_path(plain());
}

std::optional<StorePath> DerivationReader::path_or_empty() {
  const auto text = plain();
  if (text.empty()) return std::nullopt;
  return parse_path(text);
}

void DerivationReader::end() {
  if (!rest_.empty()) fail("something follows its end");
}

tl::expected<Derivation, std::string> Derivation::parse(const StoreLayout& layout,
                                                        std::string_view text) {
  Derivation derivation;
  DerivationReader in(layout, text);
  if (text.starts_with("DrvWithVersion(")) in.fail("dynamic derivations are not supported");
  in.expect("Derive(");
  in.list([&] { read_output(in, derivation); });
  in.expect(",");
  in.list([&] { read_input_derivation(in, derivation); });
  in.expect(",");
  in.list([&] {
    if (auto path = in.path()) append(in, derivation.input_sources, *std::move(path));
  });
  in.expect(",");
  derivation.platform = in.plain();
  in.expect(",");
  derivation.builder = in.string();
  in.expect(",");
  in.list([&] { derivation.arguments.push_back(in.string()); });
  in.expect(",");
  in.list([&] { read_variable(in, derivation); });
  in.expect(")");
  in.end();
  if (in.failed()) return tl::unexpected(in.error());
  if (auto checked = derivation.check(); !checked) return tl::unexpected(checked.error());
  return derivation;
}

std::string Derivation::unparse(const StoreLayout& layout) const {
  std::string text = "Derive(";
  const auto plain = [&](std::string_view value) { put_plain(text, value); };
  const auto escaped = [&](std::string_view value) { put_string(text, value); };
  put_list(text, outputs, [&](const auto& each) {
    const auto& [name, output] = each;
    text += '(';
    plain(name);
    text += ',';
    plain(output.path ? layout.print(*output.path) : "");
    text += ',';
    plain(output.hash_algorithm);
    text += ',';
    plain(output.hash);
    text += ')';
  });
  text += ',';
  put_list(text, input_derivations, [&](const auto& each) {
    text += '(';
    plain(layout.print(each.first));
    text += ',';
    put_list(text, each.second, plain);
    text += ')';
  });
  text += ',';
  put_list(text, input_sources, [&](const auto& path) { plain(layout.print(path)); });
  text += ',';
  plain(platform);
  text += ',';
  escaped(builder);
  text += ',';
  put_list(text, arguments, escaped);
  text += ',';
  put_list(text, environment, [&](const auto& variable) {
    text += '(';
    escaped(variable.first);
    text += ',';
    escaped(variable.second);
    text += ')';
  });
  text += ')';
  return text;
}

}  // namespace airlock
