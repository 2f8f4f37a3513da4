#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <iostream>

#include "tests/unit/skip.hpp"

namespace airlock::test {

namespace {

constexpr int exit_skipped = 77;
bool any_skipped = false;

}  // namespace

void skip(const std::string& why) {
  any_skipped = true;
  std::cout << "SKIP: " << why << std::endl;
}

}  // namespace airlock::test

int main(int argc, char** argv) {
  const int result = Catch::Session().run(argc, argv);
  return result == 0 && airlock::test::any_skipped ? airlock::test::exit_skipped : result;
}
