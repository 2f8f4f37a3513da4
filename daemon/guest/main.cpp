#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/guest/drop_in.hpp"
#include "daemon/guest/evaluate.hpp"
#include "daemon/guest/returning.hpp"

namespace {

using namespace airlock::guest;

int usage() {
  std::fputs(
      "usage: airlock return DERIVATION    realise it and make this build's outputs of it\n"
      "Inside a build; nix-instantiate and nix-build beside this program remember evaluations.\n",
      stderr);
  return 2;
}

int airlock_command(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == "return") return return_derivation(words[1]);
  if (words.size() >= 2 && words[0] == "evaluate")
    return evaluate({words.begin() + 1, words.end()});
  return usage();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view path = argc > 0 ? argv[0] : "";
  const auto name = path.substr(path.rfind('/') + 1);
  if (name == "nix-instantiate") return drop_in(Program::nix_instantiate, argc, argv);
  if (name == "nix-build") return drop_in(Program::nix_build, argc, argv);
  return airlock_command(argc > 1 ? std::vector<std::string>(argv + 1, argv + argc)
                                  : std::vector<std::string>());
}
