// The words that a derivation may put into its view.
#include "fusefs/boundary/view_words.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace airlock::boundary;

TEST_CASE("channel names are what Nix could write in its search path") {
  for (const auto* good : {"nixpkgs", "a", "A-b_c.d+9", "nixpkgs-overlays"})
    CHECK(is_channel_name(good));
  for (const auto* bad : {"", ".", "..", ".hidden", "a/b", "a b", "a\n", "ä"})
    CHECK_FALSE(is_channel_name(bad));
  CHECK(is_channel_name(std::string(64, 'x')));
  CHECK_FALSE(is_channel_name(std::string(65, 'x')));
}

TEST_CASE("setting names are Nix's, and no directive") {
  for (const auto* good : {"cores", "extra-experimental-features", "included", "a1"})
    CHECK(is_setting_name(good));
  for (const auto* bad :
       {"", "include", "!include", "Cores", "1a", "-a", "a b", "a=", "a\n", "#", "ä"})
    CHECK_FALSE(is_setting_name(bad));
  CHECK(is_setting_name(std::string(64, 'x')));
  CHECK_FALSE(is_setting_name(std::string(65, 'x')));
}

TEST_CASE("setting values stay on their line") {
  for (const auto* good : {"", "1", "nix-command flakes", "a = b", "naïve"})
    CHECK(is_setting_value(good));
  for (const auto* bad : {"a\nstore = x", "a\rb", "a # b", "\x1b[31m", "\t", "\x7f"})
    CHECK_FALSE(is_setting_value(bad));
  CHECK_FALSE(is_setting_value(std::string_view("a\0b", 3)));
  CHECK(is_setting_value(std::string(4096, 'x')));
  CHECK_FALSE(is_setting_value(std::string(4097, 'x')));
}
