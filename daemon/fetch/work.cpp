#include "daemon/fetch/work.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <system_error>

#include "daemon/core/nar.hpp"
#include "daemon/fetch/repository.hpp"
#include "daemon/fetch/unpack.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

namespace {

constexpr const char* content_name = "content";
constexpr const char* tree_name = "tree";

tl::unexpected<std::string> failed(const std::string& what) {
  return tl::unexpected(fmt::format("airlock-fetchd cannot {}: {}", what, std::strerror(errno)));
}

void copy_file(int from, Sink& to) {
  std::array<char, 64 * 1024> block{};
  if (::lseek(from, 0, SEEK_SET) != 0) throw std::system_error(errno, std::generic_category());
  for (;;) {
    const auto n = ::read(from, block.data(), block.size());
    if (n < 0) throw std::system_error(errno, std::generic_category());
    if (n == 0) return;
    to.write({block.data(), static_cast<std::size_t>(n)});
  }
}

}  // namespace

Done fetch_into(const Request& request, const std::string& folder, const FetchConfig& config,
                const std::function<Sink&()>& begin) {
  const auto& origin = request.origin;
  if (!config.allows(origin.scheme()))
    return tl::unexpected(
        fmt::format("cannot fetch {}: its scheme is not among fetch.schemes in {}", origin.print(),
                    Config::default_file));
  if (origin.kind == Kind::folder) {
    const auto path = origin.url.substr(origin.url.find(':') + 1);
    if (::access(path.c_str(), R_OK) != 0)
      return tl::unexpected(fmt::format(
          "cannot fetch {}: {}; it has to be there and readable for the user of airlock-fetchd",
          origin.print(), std::strerror(errno)));
    dump_nar(AT_FDCWD, path, begin());
    return {};
  }
  const Fd at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Fd content(::openat(at.get(), content_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!content) return failed("make a file");
  auto fetched = origin.kind == Kind::git ? fetch_revision(origin, folder, content.get(), config)
                                          : download(origin.url, content.get(), config);
  if (!fetched) return fetched;
  if (origin.kind == Kind::file) {
    if (request.form == Form::flat)
      copy_file(content.get(), begin());
    else
      dump_nar(at.get(), content_name, begin());
    return {};
  }
  if (::mkdirat(at.get(), tree_name, 0700) != 0) return failed("make a folder");
  const Fd tree(::openat(at.get(), tree_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (auto done = unpack(content.get(), tree.get(), {config.max_bytes}); !done)
    return tl::unexpected(fmt::format("cannot unpack {}: {}", origin.print(), done.error()));
  std::string top = tree_name;
  if (origin.kind == Kind::tarball) {
    const auto only = only_folder(tree.get());
    if (!only)
      return tl::unexpected(fmt::format("cannot unpack {}: {}", origin.print(), only.error()));
    if (!only->empty()) top += "/" + *only;
  }
  dump_nar(at.get(), top, begin());
  return {};
}

}  // namespace airlock::fetch
