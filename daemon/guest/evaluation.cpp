#include "daemon/guest/evaluation.hpp"

#include <sys/utsname.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "daemon/core/hash.hpp"
#include "daemon/guest/closed.hpp"
#include "daemon/guest/settings.hpp"
#include "daemon/guest/surroundings.hpp"

namespace airlock::guest {
namespace {

constexpr const char* name = "evaluation";
constexpr const char* builder = "/airlock/bin/airlock";

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// What the machine is, as Nix calls it. Not the variable "system", which is any script's own. Nix
/// has set the personality of a 32-bit build, so the kernel tells the builder's.
std::string this_system() {
  utsname machine{};
  if (::uname(&machine) != 0) return {};
  constexpr std::pair<std::string_view, std::string_view> renamed[] = {
      {"i386", "i686"}, {"i586", "i686"}, {"armv8l", "armv7l"}, {"ppc64le", "powerpc64le"}};
  std::string_view here = machine.machine;
  for (const auto& [kernels, nixs] : renamed)
    if (here == kernels) here = nixs;
  return std::string(here) + "-linux";
}

std::optional<std::string> real_path(const std::string& file) {
  std::error_code error;
  auto path = std::filesystem::canonical(file, error);
  if (error) return std::nullopt;
  return path.string();
}

class Closing {
 public:
  Closing(const StoreLayout& layout, StoreClient& store) : layout_(layout), store_(store) {}

  std::optional<Evaluation> close(Call& call, const std::string& evaluator) {
    evaluation_.system = this_system();
    evaluation_.program = evaluator;
    const bool closed = store_file(evaluator) && surroundings() && search_path() &&
                        included(call) && expressions(call) && arguments(call) && channels() &&
                        all_visible();
    if (!closed) return std::nullopt;
    evaluation_.arguments = evaluator_arguments(call);
    return std::move(evaluation_);
  }

 private:
  bool take(const std::optional<std::set<StorePath>>& paths) {
    if (paths) evaluation_.inputs.insert(paths->begin(), paths->end());
    return paths.has_value();
  }

  bool store_file(const std::string& file) {
    const auto path = store_path_of(layout_, file);
    if (path) evaluation_.inputs.insert(*path);
    return path.has_value();
  }

  bool surroundings() {
    auto closed = closed_surroundings(layout_);
    if (!closed) return false;
    evaluation_.environment = std::move(closed->environment);
    channels_ = std::move(closed->channels);
    return take(closed->inputs);
  }

  /// An entry with what it leads to in place of its path.
  std::optional<std::string> search_entry(const std::string& entry) {
    const auto equals = entry.find('=');
    const auto key = equals == std::string::npos ? "" : entry.substr(0, equals + 1);
    const auto path = real_path(entry.substr(key.size()));
    if (!path) return std::nullopt;
    if (*path == view_of(layout_) + "/nix/profiles/per-user/root/channels") {
      needs_channels_ = true;
      return entry;
    }
    if (!store_file(*path)) return std::nullopt;
    return key + *path;
  }

  bool search_path() {
    const char* value = std::getenv("NIX_PATH");
    if (value == nullptr) return needs_channels_ = true;
    std::string closed;
    std::string_view rest = value;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(':'), rest.size());
      const auto entry = search_entry(std::string(rest.substr(0, end)));
      if (!entry) return false;
      closed += (closed.empty() ? "" : ":") + *entry;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    evaluation_.environment["NIX_PATH"] = closed;
    return true;
  }

  bool included(Call& call) {
    for (auto& entry : call.search_path) {
      const auto closed = search_entry(entry);
      if (!closed) return false;
      entry = *closed;
    }
    return true;
  }

  bool expressions(Call& call) {
    for (auto& expression : call.expressions) {
      const bool closed =
          call.from_text ? take(closed_expression(layout_, expression)) : file(expression);
      if (!closed) return false;
    }
    return true;
  }

  bool file(std::string& file) {
    if (file.starts_with('<')) return take(closed_expression(layout_, file));
    const auto path = real_path(file);
    if (!path) return false;
    if (store_file(*path)) {
      file = *path;
      return true;
    }
    return loose_file(file, *path);
  }

  bool loose_file(std::string& file, const std::string& path) {
    constexpr std::uintmax_t largest = 1u << 20;
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) return false;
    if (std::filesystem::file_size(path, error) > largest || error) return false;
    std::ifstream stream(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    if (!stream || !take(closed_expression(layout_, text))) return false;
    const auto added = store_.add_file(std::filesystem::path(path).filename().string(), path);
    if (!added) return false;
    evaluation_.inputs.insert(*added);
    file = layout_.print(*added);
    return true;
  }

  bool arguments(const Call& call) {
    for (const auto& [key, argument] : call.arguments)
      if (!take(argument.is_string ? closed_string(layout_, argument.value)
                                   : closed_expression(layout_, argument.value)))
        return false;
    for (std::size_t i = 0; i < call.settings.size(); ++i) {
      if (call.settings[i] != "--option") continue;
      if (!names_no_file(call.settings[i + 1])) return false;
      i += 2;
    }
    return true;
  }

  /// What the view has as Nix's default search path follows from the derivation.
  bool channels() {
    if (!needs_channels_) return true;
    for (const auto& entry : channels_) {
      if (!store_file(entry.substr(entry.find('=') + 1))) return false;
      evaluation_.search_path.push_back(entry);
    }
    return true;
  }

  bool all_visible() {
    for (const auto& path : evaluation_.inputs)
      if (const auto valid = store_.is_valid(path); !valid || !*valid) return false;
    return true;
  }

  const StoreLayout& layout_;
  StoreClient& store_;
  Evaluation evaluation_;
  std::vector<std::string> channels_;
  bool needs_channels_ = false;
};

}  // namespace

tl::expected<std::pair<Derivation, StorePath>, std::string> derivation_of(
    const StoreLayout& layout, const Evaluation& evaluation) {
  Derivation derivation;
  derivation.platform = evaluation.system;
  derivation.builder = view_of(layout) + builder;
  derivation.arguments = {"evaluate", evaluation.program};
  derivation.arguments.insert(derivation.arguments.end(), evaluation.arguments.begin(),
                              evaluation.arguments.end());
  derivation.input_sources = evaluation.inputs;
  derivation.environment = evaluation.environment;
  derivation.environment["name"] = name;
  derivation.environment["system"] = evaluation.system;
  derivation.environment["builder"] = derivation.builder;
  derivation.environment["requiredSystemFeatures"] = "airlock";
  if (!evaluation.search_path.empty())
    derivation.environment["airlockNixPath"] = join(evaluation.search_path);
  derivation.environment["out"] = "";
  derivation.outputs["out"] = {};
  auto path = output_path(layout, name, "out", sha256(derivation.unparse(layout)));
  if (!path) return tl::unexpected(path.error());
  derivation.outputs["out"].path = *path;
  derivation.environment["out"] = layout.print(*path);
  if (auto checked = derivation.check(); !checked) return tl::unexpected(checked.error());
  return std::pair{std::move(derivation), *std::move(path)};
}

std::optional<Evaluation> close(const StoreLayout& layout, Call call, const std::string& evaluator,
                                StoreClient& store) {
  return Closing(layout, store).close(call, evaluator);
}

}  // namespace airlock::guest
