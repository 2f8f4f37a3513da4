#pragma once

#include <array>
#include <string_view>

#include "daemon/config/account.hpp"
#include "daemon/core/store_layout.hpp"

namespace airlock::inspecting {

// Requests are one line of words each. Every answer ends with one of these words on a line of its
// own.
inline constexpr std::string_view done = "done";
inline constexpr std::string_view in_use = "in-use";
inline constexpr std::string_view absent = "absent";
inline constexpr std::string_view failed = "failed";
inline constexpr std::array last_words{done, in_use, absent, failed};

// "<request> <word>..."; an output is two words, its name and its path. A state is the mark and
// whether it is unfinished, 0 or 1.
inline constexpr std::string_view debt = "debt";        ///< derivation, milliseconds, outputs
inline constexpr std::string_view mark_debt = "mark";   ///< mark
inline constexpr std::string_view pay_debt = "paid";    ///< nothing
inline constexpr std::string_view recent = "recent";    ///< derivation, milliseconds
inline constexpr std::string_view keep = "keep";        ///< derivation, state, path...
inline constexpr std::string_view write = "write";      ///< state
inline constexpr std::string_view readers = "readers";  ///< what the next keep or write records
inline constexpr std::string_view forget = "forget";    ///< nothing
inline constexpr std::string_view want = "want";        ///< path...: what scan looks for
inline constexpr std::string_view scan = "scan";        ///< derivation or "-", outputs

/// What the child does until the other end of the channel is closed. Of the process's descriptors
/// none but this channel is kept.
[[noreturn]] void serve(const StoreLayout& layout, const Account& account, int channel);

}  // namespace airlock::inspecting
