#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "daemon/core/derivation.hpp"
#include "daemon/wire/fd_stream.hpp"
#include "daemon/wire/messages.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::guest {

/// A client of the synthetic daemon socket, as Nix's own is one. Methods throw ConnectionOver when
/// the connection fails; what the other side refuses is an error of one or more lines. Not
/// thread-safe.
class StoreClient {
 public:
  template <class T>
  using Result = tl::expected<T, std::string>;
  /// Takes the builders' log, line by line.
  using Log = std::function<void(const std::string& line)>;

  explicit StoreClient(const StoreLayout& layout);

  [[nodiscard]] Result<bool> is_valid(const StorePath& path);
  /// Text with references, as derivations are.
  [[nodiscard]] Result<StorePath> add_text(const std::string& name, std::string_view text,
                                           const std::set<StorePath>& references);
  /// A file of the sandbox's as `nix-store --add` adds it.
  [[nodiscard]] Result<StorePath> add_file(const std::string& name, const std::string& file);
  /// All outputs of a derivation, or those named.
  [[nodiscard]] Result<void> build(const StorePath& derivation,
                                   const std::set<std::string>& outputs, const Log& log);
  /// By name; those whose path is known.
  [[nodiscard]] Result<std::map<std::string, StorePath>> outputs_of(const StorePath& derivation);
  [[nodiscard]] Result<void> add_indirect_root(const std::string& link);

 private:
  template <class Request>
  void start(const Request& request);
  [[nodiscard]] Result<void> finish(const Log& log = {});
  template <class Request>
  [[nodiscard]] Result<typename Request::Reply> ask(const Request& request, const Log& log = {});
  [[nodiscard]] Result<StorePath> add(const wire::AddToStore& request,
                                      const std::function<void(Sink&)>& body);

  StoreLayout layout_;
  Fd socket_;
  wire::FdSource source_;
  wire::FdSink sink_;
  wire::Reader reader_;
  wire::Writer writer_;
  wire::Version version_;
};

}  // namespace airlock::guest
