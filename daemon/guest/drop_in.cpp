#include "daemon/guest/drop_in.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "daemon/guest/evaluation.hpp"
#include "daemon/guest/sentence.hpp"
#include "daemon/guest/store_client.hpp"

namespace airlock::guest {
namespace {

const char* name_of(Program program) {
  return program == Program::nix_build ? "nix-build" : "nix-instantiate";
}

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stderr);
}

/// The first of that name on PATH that is not this program; empty if there is none.
std::string find_real(const char* name) {
  struct stat self {};
  if (::stat("/proc/self/exe", &self) != 0) return {};
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    auto file = folder + "/" + name;
    struct stat status {};
    if (folder.empty() || ::stat(file.c_str(), &status) != 0 || ::access(file.c_str(), X_OK) != 0)
      continue;
    if (status.st_dev != self.st_dev || status.st_ino != self.st_ino) return file;
  }
  return {};
}

int run(const std::string& program, std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  say(fmt::format("airlock: cannot run {}: {}", program, std::strerror(errno)));
  return 126;
}

/// What was read of stdin is there to be read again.
void put_back(const std::string& text) {
  const Fd file(::memfd_create("stdin", 0));
  for (std::size_t done = 0; file && done < text.size();) {
    const auto n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  ::dup2(file.get(), STDIN_FILENO);
}

std::string read_stdin() {
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const auto n = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

/// nix-instantiate beside the program, by a name in the store.
std::string evaluator_beside(const std::string& program) {
  std::error_code error;
  const auto folder =
      std::filesystem::canonical(std::filesystem::path(program).parent_path(), error);
  return error ? std::string() : (folder / "nix-instantiate").string();
}

/// The lines that the evaluation gives, building it where that was not done before. What it has
/// said is shown once it has succeeded. Nothing if it did not: then plain Nix says why, in its own
/// words and in those alone, and nothing is remembered.
std::optional<std::vector<std::string>> evaluate(const StoreLayout& layout,
                                                 const Evaluation& evaluation, StoreClient& store) {
  const auto made = derivation_of(layout, evaluation);
  if (!made) return std::nullopt;
  const auto& [derivation, output] = *made;
  const auto added =
      store.add_text("evaluation.drv", derivation.unparse(layout), derivation.references());
  std::string log;
  const auto keep = [&](const std::string& line) { log += line + "\n"; };
  if (!added || !store.build(*added, {}, keep)) return std::nullopt;
  std::ifstream list(layout.print(output));
  std::vector<std::string> lines;
  for (std::string line; std::getline(list, line);) lines.push_back(line);
  if (list.bad() || !list.eof()) return std::nullopt;
  std::fputs(log.c_str(), stderr);
  return lines;
}

/// As nix-instantiate does: a link to the derivation, printed in its place.
tl::expected<std::string, std::string> make_root(const std::string& line, const std::string& root,
                                                 std::size_t number, StoreClient& store) {
  namespace fs = std::filesystem;
  auto link = fs::absolute(root).lexically_normal().string();
  if (number > 1) link += "-" + std::to_string(number);
  const auto part = line.find('!');
  std::error_code error;
  const auto fresh = link + ".tmp-" + std::to_string(::getpid());
  fs::create_directories(fs::path(link).parent_path(), error);
  fs::create_symlink(line.substr(0, part), fresh, error);
  if (!error) fs::rename(fresh, link, error);
  if (error)
    return tl::unexpected(fmt::format("cannot make the link {}: {}", link, error.message()));
  if (auto added = store.add_indirect_root(link); !added) return tl::unexpected(added.error());
  return link + (part == std::string::npos ? "" : line.substr(part));
}

int print_all(const std::vector<std::string>& lines, const Call& call, StoreClient& store) {
  std::size_t number = 0;
  for (const auto& line : lines) {
    auto printed = call.root ? make_root(line, *call.root, ++number, store) : line;
    if (!printed) {
      say("error: " + one_sentence(printed.error()));
      return 1;
    }
    std::puts(printed->c_str());
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

/// The real nix-build does the rest: it builds, links and prints what it is given as derivations.
int build_all(const std::vector<std::string>& lines, const Call& call, const std::string& real) {
  if (lines.empty()) return 0;  // without a name it would look for default.nix
  std::vector<std::string> words{name_of(Program::nix_build)};
  for (const auto& line : lines)
    words.push_back(line.find('!') == std::string::npos ? line + "!out" : line);
  words.insert(words.end(), call.for_build.begin(), call.for_build.end());
  return run(real, std::move(words));
}

}  // namespace

int drop_in(Program program, int argc, char** argv) {
  const auto real = find_real(name_of(program));
  if (real.empty()) {
    say(
        fmt::format("airlock: there is no {0} on PATH but airlock's own: Nix's folder has to be on "
                    "PATH too, after this one",
                    name_of(program)));
    return 127;
  }
  const std::vector<std::string> words(argv, argv + argc);
  auto call = parse_call(program, std::span(words).subspan(1));
  if (!call) return run(real, words);
  if (call->reads_stdin) {
    call->from_text = true;
    call->expressions = {read_stdin()};
    put_back(call->expressions.front());
  }
  const auto layout = StoreLayout::from_environment();
  std::optional<StoreClient> store;
  std::optional<std::vector<std::string>> lines;
  try {
    store.emplace(layout);
    if (const auto evaluation = close(layout, *call, evaluator_beside(real), *store))
      lines = evaluate(layout, *evaluation, *store);
  } catch (const ConnectionOver&) {
    // The real program meets the same, and says so in its own words.
  }
  if (!lines) return run(real, words);
  if (program == Program::nix_build) return build_all(*lines, *call, real);
  try {
    return print_all(*lines, *call, *store);
  } catch (const ConnectionOver& over) {
    say("error: " + one_sentence(over.what()));
  }
  return 1;
}

}  // namespace airlock::guest
