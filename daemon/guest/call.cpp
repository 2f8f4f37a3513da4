#include "daemon/guest/call.hpp"

#include <algorithm>
#include <string_view>

namespace airlock::guest {
namespace {

template <std::size_t n>
bool among(std::string_view word, const std::string_view (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

/// Options of nix-build's about building, without and with a value.
constexpr std::string_view build_flags[] = {"--no-out-link",    "--no-link", "--keep-going", "-k",
                                            "--keep-failed",    "-K",        "--fallback",   "-Q",
                                            "--no-build-output"};
constexpr std::string_view build_values[] = {"--out-link", "-o",        "--max-jobs",       "-j",
                                             "--cores",    "--timeout", "--max-silent-time"};
/// What a program says beside its result.
constexpr std::string_view verbosity[] = {"-v", "--verbose", "--quiet"};

class Parser {
 public:
  Parser(Program program, std::span<const std::string> words) : program_(program), words_(words) {}

  std::optional<Call> parse() {
    while (at_ < words_.size())
      if (!next()) return std::nullopt;
    const bool one_source = call_.reads_stdin == call_.expressions.empty();
    if (!one_source || (call_.reads_stdin && call_.from_text)) return std::nullopt;
    return std::move(call_);
  }

 private:
  bool next() {
    const auto& word = words_[at_++];
    if (!word.starts_with('-')) {
      // A derivation is built as it is; there is nothing to evaluate.
      const bool made = word.ends_with(".drv") || word.find('!') != std::string::npos;
      call_.expressions.push_back(word);
      return call_.from_text || !made;
    }
    if (word == "-") return call_.reads_stdin = program_ == Program::nix_instantiate;
    if (word == "-E" || word == "--expr") return call_.from_text = true;
    if (word == "--indirect") return program_ == Program::nix_instantiate;
    if (among(word, verbosity)) {
      if (program_ == Program::nix_build) call_.for_build.push_back(word);
      return true;
    }
    if (word == "--show-trace") {
      call_.settings.push_back(word);
      return true;
    }
    if (program_ == Program::nix_build && among(word, build_flags)) {
      call_.for_build.push_back(word);
      return true;
    }
    return next_with_values(word);
  }

  bool next_with_values(const std::string& word) {
    if (word == "-A" || word == "--attr") return value(call_.attributes);
    if (word == "-I" || word == "--include") return value(call_.search_path);
    if (word == "--arg" || word == "--argstr") return argument(word == "--argstr");
    if (word == "--option") return option();
    if (word == "--add-root" && program_ == Program::nix_instantiate) {
      if (left() < 1) return false;
      call_.root = words_[at_++];
      return true;
    }
    if (program_ == Program::nix_build && among(word, build_values)) {
      call_.for_build.push_back(word);
      return value(call_.for_build);
    }
    return false;
  }

  [[nodiscard]] std::size_t left() const { return words_.size() - at_; }

  bool value(std::vector<std::string>& values) {
    if (left() < 1) return false;
    values.push_back(words_[at_++]);
    return true;
  }

  bool argument(bool is_string) {
    if (left() < 2) return false;
    call_.arguments[words_[at_]] = {is_string, words_[at_ + 1]};
    at_ += 2;
    return true;
  }

  bool option() {
    if (left() < 2) return false;
    for (auto* options : {&call_.settings, &call_.for_build})
      options->insert(options->end(), {"--option", words_[at_], words_[at_ + 1]});
    at_ += 2;
    return true;
  }

  Program program_;
  std::span<const std::string> words_;
  std::size_t at_ = 0;
  Call call_;
};

}  // namespace

std::optional<Call> parse_call(Program program, std::span<const std::string> words) {
  return Parser(program, words).parse();
}

std::vector<std::string> evaluator_arguments(const Call& call) {
  std::vector<std::string> words;
  if (call.from_text) words.emplace_back("-E");
  words.insert(words.end(), call.expressions.begin(), call.expressions.end());
  for (const auto& attribute : call.attributes) words.insert(words.end(), {"-A", attribute});
  for (const auto& [name, argument] : call.arguments)
    words.insert(words.end(), {argument.is_string ? "--argstr" : "--arg", name, argument.value});
  for (const auto& entry : call.search_path) words.insert(words.end(), {"-I", entry});
  words.insert(words.end(), call.settings.begin(), call.settings.end());
  return words;
}

}  // namespace airlock::guest
