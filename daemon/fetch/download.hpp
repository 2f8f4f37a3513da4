#pragma once

#include <string>
#include <tl/expected.hpp>

#include "daemon/config/config.hpp"

namespace airlock::fetch {

/// The end of a sentence about something that takes more memory than there is for it.
[[nodiscard]] std::string out_of_memory(const FetchConfig& config);

using Done = tl::expected<void, std::string>;

/// Writes what is at a URL to a descriptor, with libcurl: by the schemes that are configured, from
/// addresses that may be fetched from, also where a redirect leads (at most ten). No proxy, no
/// cookies, no passwords. The error is one sentence that names the URL.
[[nodiscard]] Done download(const std::string& url, int to, const FetchConfig& config);

/// The addresses behind a web URL's host, each of which may be fetched from, in the form in which
/// curl and git take them: "host:port:address,address"; empty where the host is an address itself.
[[nodiscard]] tl::expected<std::string, std::string> resolve(const std::string& url,
                                                             const FetchConfig& config);

}  // namespace airlock::fetch
