#pragma once

#include <cstddef>
#include <string_view>

/// The words that a derivation may put into its view. airlockd refuses others with a sentence for
/// the user; airlock-fs, which need not believe airlockd, checks them again. Pure.
namespace airlock::boundary {

/// All of it fits into one message.
inline constexpr std::size_t max_channels = 128;
inline constexpr std::size_t max_settings = 128;
inline constexpr std::size_t max_settings_bytes = 16 * 1024;

/// The name of an entry of Nix's search path: 1 to 64 of [A-Za-z0-9+._-], the first not a dot.
[[nodiscard]] bool is_channel_name(std::string_view name);
/// The name of a setting in nix.conf: 1 to 64 of [a-z0-9-], the first a letter, and not "include".
[[nodiscard]] bool is_setting_name(std::string_view name);
/// What can stand behind "name = " and is read back as it is: at most 4,096 bytes, no control
/// character (so one line), and no '#', which begins a comment wherever it stands.
[[nodiscard]] bool is_setting_value(std::string_view value);

}  // namespace airlock::boundary
