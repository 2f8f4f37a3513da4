#include "daemon/fetch/download.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "daemon/core/plain_line.hpp"
#include "daemon/fetch/addresses.hpp"

namespace airlock::fetch {

namespace {

struct Transfer {
  const FetchConfig& config;
  int to;
  std::uint64_t bytes = 0;
  std::string refusal;  ///< why it was stopped from here
};

std::size_t take(char* bytes, std::size_t, std::size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  transfer.bytes += size;
  if (transfer.bytes > transfer.config.max_bytes) {
    transfer.refusal =
        fmt::format("it is larger than {} bytes: raise fetch.max-bytes in {} if that is meant",
                    transfer.config.max_bytes, Config::default_file);
    return 0;
  }
  for (std::size_t done = 0; done < size;) {
    const auto n = ::write(transfer.to, bytes + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      transfer.refusal = fmt::format("it cannot be written down: {}", std::strerror(errno));
      return 0;
    }
    done += static_cast<std::size_t>(n);
  }
  return size;
}

/// Where curl is about to connect to, whatever the URL or a redirect or a name server has said.
curl_socket_t open_socket(void* context, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (auto refusal = refusal_of(address->addr, address->addrlen, transfer.config)) {
    transfer.refusal = *std::move(refusal);
    return CURL_SOCKET_BAD;
  }
  transfer.refusal.clear();  // another address of the same host
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::string protocols(const FetchConfig& config, bool redirected) {
  std::string list;
  for (const auto& scheme : config.schemes) {
    if (scheme == "path" || (redirected && scheme == "file")) continue;
    list += (list.empty() ? "" : ",") + scheme;
  }
  return list;
}

using Handle = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

template <class Value>
bool set(const Handle& curl, CURLoption option, Value value) {
  return curl_easy_setopt(curl.get(), option, value) == CURLE_OK;
}

bool configure(const Handle& curl, const std::string& url, Transfer& transfer) {
  const auto& config = transfer.config;
  return set(curl, CURLOPT_URL, url.c_str()) && set(curl, CURLOPT_NOSIGNAL, 1L) &&
         set(curl, CURLOPT_PROTOCOLS_STR, protocols(config, false).c_str()) &&
         set(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols(config, true).c_str()) &&
         set(curl, CURLOPT_FOLLOWLOCATION, 1L) && set(curl, CURLOPT_MAXREDIRS, 10L) &&
         set(curl, CURLOPT_FAILONERROR, 1L) && set(curl, CURLOPT_PROXY, "") &&
         set(curl, CURLOPT_USERAGENT, "airlock") && set(curl, CURLOPT_CONNECTTIMEOUT, 60L) &&
         set(curl, CURLOPT_TIMEOUT, static_cast<long>(config.timeout.count())) &&
         set(curl, CURLOPT_OPENSOCKETFUNCTION, &open_socket) &&
         set(curl, CURLOPT_OPENSOCKETDATA, &transfer) && set(curl, CURLOPT_WRITEFUNCTION, &take) &&
         set(curl, CURLOPT_WRITEDATA, &transfer) &&
         (config.ca_file.empty() || set(curl, CURLOPT_CAINFO, config.ca_file.c_str()));
}

/// What to do about what curl says.
std::string advice(CURLcode code, const FetchConfig& config) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return fmt::format("raise fetch.timeout in {} if it takes longer than {} s",
                         Config::default_file, config.timeout.count());
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fmt::format(
          "name its certificate authority in fetch.ca-file in {} if it is a known one",
          Config::default_file);
    case CURLE_TOO_MANY_REDIRECTS:
      return "lock the URL to which they lead";
    default:
      return "correct the URL in its lock, or build again when it is there";
  }
}

/// The host and the port of a web URL; curl's own reading of it, so that no two differ.
struct Authority {
  std::string host;
  std::string port;
};

std::optional<Authority> authority_of(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return std::nullopt;
  const auto part = [&](CURLUPart which, unsigned flags) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), which, &text, flags) != CURLUE_OK) return std::string();
    std::string copy(text);
    curl_free(text);
    return copy;
  };
  Authority authority{part(CURLUPART_HOST, 0), part(CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if (authority.host.starts_with('['))
    authority.host = authority.host.substr(1, authority.host.size() - 2);
  if (authority.host.empty() || authority.port.empty()) return std::nullopt;
  return authority;
}

}  // namespace

std::string out_of_memory(const FetchConfig& config) {
  return fmt::format(
      "it takes more than {} bytes of memory; raise fetch.max-memory in {} if that is "
      "meant",
      config.max_memory, Config::default_file);
}

Done download(const std::string& url, int to, const FetchConfig& config) {
  Transfer transfer{config, to, 0, {}};
  const Handle curl(curl_easy_init(), &curl_easy_cleanup);
  std::array<char, CURL_ERROR_SIZE> detail{};
  if (!curl || !set(curl, CURLOPT_ERRORBUFFER, detail.data()) || !configure(curl, url, transfer))
    return tl::unexpected(fmt::format("cannot fetch {}: curl does not take it", url));
  const auto code = curl_easy_perform(curl.get());
  if (code == CURLE_OK) return {};
  const char* place = nullptr;
  curl_easy_getinfo(curl.get(), CURLINFO_REDIRECT_URL, &place);
  auto reason = transfer.refusal;
  if (reason.empty() && code == CURLE_UNSUPPORTED_PROTOCOL)
    reason = fmt::format(
        "it leads to a URL of another scheme than {}, which fetch.schemes in {} "
        "does not allow",
        protocols(config, true), Config::default_file);
  if (reason.empty())
    reason = fmt::format(
        "{}; {}", one_plain_line(detail[0] != '\0' ? detail.data() : curl_easy_strerror(code)),
        advice(code, config));
  return tl::unexpected(fmt::format("cannot fetch {}: {}", url, reason));
}

tl::expected<std::string, std::string> resolve(const std::string& url, const FetchConfig& config) {
  const auto authority = authority_of(url);
  if (!authority) return tl::unexpected(fmt::format("cannot fetch {}: it names no host", url));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const auto error = ::getaddrinfo(authority->host.c_str(), authority->port.c_str(), &hints, &list);
  if (error != 0)
    return tl::unexpected(
        fmt::format("cannot fetch {}: its host is not found ({}); correct the URL in its lock, or "
                    "build again when "
                    "it is there",
                    url, ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(list, &freeaddrinfo);
  std::string pinned;
  for (const auto* one = list; one != nullptr; one = one->ai_next) {
    if (auto refusal = refusal_of(*one->ai_addr, one->ai_addrlen, config))
      return tl::unexpected(fmt::format("cannot fetch {}: {}", url, *refusal));
    const auto printed = print_address(*one->ai_addr, one->ai_addrlen);
    if (printed == authority->host) return std::string();
    const auto bracketed = one->ai_family == AF_INET6 ? "[" + printed + "]" : printed;
    pinned += (pinned.empty() ? "" : ",") + bracketed;
  }
  return fmt::format("{}:{}:{}", authority->host, authority->port, pinned);
}

}  // namespace airlock::fetch
