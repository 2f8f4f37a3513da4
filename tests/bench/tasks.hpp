#pragma once

#include <cstdint>
#include <string>

namespace airlock::bench {

// What end-to-end tests have this client do. All throw, and print what they did.

/// NarFromPath; the archive has so many bytes.
void fetch(const std::string& socket, const std::string& path, std::uint64_t bytes);
/// AddToStoreNar of the archive that write_large_nar writes, piece by piece.
void send(const std::string& socket, const std::string& path, const std::string& nar_hash,
          std::uint64_t bytes, const std::string& seed);
/// So many connections at once, each of which asks whether the path is valid and then stays until
/// folder/release exists, and asks again. Makes folder/full when `first` of them were answered.
void crowd(const std::string& socket, const std::string& path, const std::string& folder,
           std::size_t all, std::size_t first);

}  // namespace airlock::bench
