#include "daemon/guest/returning.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "daemon/guest/attributes.hpp"
#include "daemon/guest/copy_output.hpp"
#include "daemon/guest/sentence.hpp"
#include "daemon/guest/store_client.hpp"

namespace airlock::guest {
namespace {

using Outputs = std::map<std::string, StorePath>;

template <class T>
T expect(tl::expected<T, std::string> result) {
  if (!result) throw std::runtime_error(result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

Outputs parse_outputs(const StoreLayout& layout) {
  Outputs outputs;
  for (const auto& [name, path] : expect(outputs_to_make(layout)))
    outputs.emplace(name, expect(layout.parse(path)));
  return outputs;
}

/// Either all outputs are made or none is left behind.
class Made {
 public:
  Made() = default;
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  ~Made() {
    std::error_code ignored;
    for (const auto& path : paths_) std::filesystem::remove_all(path, ignored);
  }
  void begin(const std::string& path) {
    std::error_code error;
    if (std::filesystem::exists(std::filesystem::symlink_status(path, error)))
      throw std::runtime_error(path + " is there already: what is returned makes every output");
    paths_.push_back(path);
  }
  void keep() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

void realise_and_copy(const std::string& text) {
  const auto layout = StoreLayout::from_environment();
  const auto parsed = layout.parse(text);
  if (!parsed || !parsed->is_derivation())
    throw std::runtime_error(
        text + " is not a derivation: give the path of one, as nix-instantiate prints it");
  const auto& derivation = *parsed;
  const auto outer = parse_outputs(layout);
  StoreClient store(layout);
  if (const auto built =
          store.build(derivation, {},
                      [](const std::string& line) { std::fputs((line + "\n").c_str(), stderr); });
      !built)
    throw std::runtime_error(
        fmt::format("{} was not built, so there is nothing to return: {}", text, built.error()));
  const auto continuation = expect(store.outputs_of(derivation));
  const auto replacements = replacements_for(layout, continuation, outer);
  Made made;
  for (const auto& [name, path] : outer) {
    made.begin(layout.print(path));
    copy_output(layout.print(continuation.at(name)), layout.print(path), replacements);
  }
  made.keep();
}

}  // namespace

tl::expected<std::map<std::string, std::string>, std::string> outputs_to_make(
    const StoreLayout& layout) {
  const auto attributes = Attributes::of_this_build();
  if (!attributes)
    return tl::unexpected<std::string>(
        "the file that NIX_ATTRS_JSON_FILE names cannot be read, and neither can "
        "$NIX_BUILD_TOP/.attrs.json: leave both as Nix has made them");
  auto outputs = attributes->outputs();
  if (outputs.empty())
    return tl::unexpected<std::string>(
        "this is not the builder of a derivation: neither $out nor $outputs says what to make");
  for (const auto& [name, path] : outputs)
    if (const auto parsed = layout.parse(path); !parsed)
      return tl::unexpected(fmt::format("the output {}: {}", name, parsed.error()));
  return outputs;
}

Replacements replacements_for(const StoreLayout& layout,
                              const std::map<std::string, StorePath>& continuation,
                              const std::map<std::string, StorePath>& outer) {
  Replacements replacements;
  for (const auto& [name, path] : outer) {
    const auto found = continuation.find(name);
    if (found == continuation.end())
      throw std::runtime_error(
          fmt::format("{} is to be made of the output '{}', which the derivation that is returned "
                      "does not have: give both the same outputs",
                      layout.print(path), name));
    replacements.push_back({std::string(found->second.hash_part()), std::string(path.hash_part()),
                            found->second.name() != path.name()});
  }
  return replacements;
}

int return_derivation(const std::string& derivation) {
  try {
    realise_and_copy(derivation);
    return 0;
  } catch (const std::exception& error) {
    std::fputs(fmt::format("airlock return: {}\n", one_sentence(error.what())).c_str(), stderr);
    return 1;
  }
}

}  // namespace airlock::guest
