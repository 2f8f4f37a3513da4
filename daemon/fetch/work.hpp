#pragma once

#include <functional>

#include "daemon/fetch/conversation.hpp"
#include "daemon/fetch/download.hpp"

namespace airlock::fetch {

/// Fetches into a folder that is empty and this process's own, then hands the content over:
/// `begin` is called once when all of it is there. Until then the error, one sentence, can be sent
/// instead; what fails later throws.
[[nodiscard]] Done fetch_into(const Request& request, const std::string& folder,
                              const FetchConfig& config, const std::function<Sink&()>& begin);

}  // namespace airlock::fetch
