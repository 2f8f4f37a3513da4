#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>

#include "daemon/config/config.hpp"

namespace airlock::fetch {

/// Why nothing may be fetched from this address: "it is a link-local address, …"; without a value
/// it may. Link-local addresses, among them those at which clouds tell secrets to their machines,
/// and such as are nobody's are refused whatever the configuration says.
[[nodiscard]] std::optional<std::string> refusal_of(const sockaddr& address, socklen_t length,
                                                    const FetchConfig& config);

/// The address in digits.
[[nodiscard]] std::string print_address(const sockaddr& address, socklen_t length);

}  // namespace airlock::fetch
