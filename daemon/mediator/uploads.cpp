// Uploads. Nothing reaches upstream that was not parsed: archives are checked as they stream, and a
// derivation is read whole and decided before a byte of it travels on.
#include <fmt/format.h>

#include <array>

#include "daemon/core/content_address.hpp"
#include "daemon/core/nar.hpp"
#include "daemon/mediator/additions.hpp"
#include "daemon/mediator/handlers.hpp"
#include "daemon/mediator/hashing_sink.hpp"
#include "daemon/mediator/holding_sink.hpp"
#include "daemon/policy/content.hpp"
#include "daemon/policy/rules.hpp"

namespace airlock::handlers {

namespace {

NarLimits nar_limits(const Call& call) {
  NarLimits limits;
  limits.size = call.services.config.limits.nar_bytes;
  return limits;
}

/// The bytes of an upload that is not an archive: all frames up to the last.
void copy_raw(wire::Upload& body, Sink& sink, std::uint64_t most) {
  std::array<char, 64 * 1024> buffer{};
  std::uint64_t total = 0;
  while (const auto n = body.read_some(buffer)) {
    total += n;
    if (total > most) throw ConnectionOver(fmt::format("an upload is larger than {} bytes", most));
    sink.write({buffer.data(), n});
  }
}

/// The content of one file, small enough to be held; empty when it came as an archive of something
/// else. What is larger ends the connection.
std::optional<std::string> read_file(Call& call) {
  const auto most = call.services.config.limits.derivation_bytes;
  StringSink whole;
  if (call.body->is_framed()) {
    copy_raw(*call.body, whole, most);
    return whole.text();
  }
  auto limits = nar_limits(call);
  limits.size = most;
  std::optional<SingleFile> file;
  copy_nar(*call.body, whole, limits, most, file);
  return file ? std::optional(std::move(file->content)) : std::nullopt;
}

/// Decides a derivation by its text; keeps its parsed form for when it has been granted.
tl::expected<Derivation, Failure> decide_derivation(std::string_view name,
                                                    const std::optional<std::string>& text,
                                                    const std::set<StorePath>& references,
                                                    const policy::Scene& scene) {
  auto derivation = policy::add_derivation_text(name, text, references, scene);
  if (!derivation) return refuse(std::move(derivation.error()));
  return *std::move(derivation);
}

/// Upstream refused what the rules let pass. Whether it did may depend on the host.
[[noreturn]] void refused_by_host(const wire::Error& error) {
  throw Condemned(policy::rule::host,
                  fmt::format("nix-daemon did not add a path: {}", error.message));
}

/// Nix holds the lock of the path that a build makes until the build is over, so to add it from
/// inside would wait for itself. Only the output of a fixed-output derivation can be met by
/// content.
class OwnOutput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The body, which throws OwnOutput at its end, before upstream knows that it is one, when what
/// passed makes an output of the session's own.
UploadBody not_own_output(const wire::AddToStore& request, const UploadBody& body,
                          const Session& session) {
  const auto method = AddMethod::parse(request.method);
  if (!session.has_content_addressed_output() || !method || !Hasher::computes(method->algorithm) ||
      method->method == IngestionMethod::git)
    return body;
  return [&request, &body, &session, method = *method](Sink& sink) {
    HashingSink hashing(sink, method.algorithm);
    body(hashing);
    const auto path = path_of(session.layout(), request.name, {method.method, hashing.finish()},
                              {request.references, false});
    if (path && session.is_own_output(*path)) throw OwnOutput(session.layout().print(*path));
  };
}

tl::expected<wire::AddedPath, Failure> add(const wire::AddToStore& request, const UploadBody& body,
                                           Call& call, std::optional<Derivation> derivation) {
  try {
    const auto added =
        call.upstream.get().add_to_store(request, not_own_output(request, body, call.session));
    if (!added) refused_by_host(added.error());
    const auto& path = added->first;
    if (derivation) call.session.remember(path, *std::move(derivation));
    call.session.grant_added(path, added->second);
    return wire::AddedPath{path, Session::censored(added->second)};
  } catch (const OwnOutput& own) {
    call.upstream.drop();  // in the middle of an upload
    return refuse(policy::own_output(own.what()));
  }
}

tl::unexpected<Failure> content_differs(const StoreLayout& layout, const StorePath& path) {
  return refuse(policy::content_differs(layout, path));
}

/// Thrown before any of an archive has travelled on: it is not what was said.
class ContentDiffers : public std::runtime_error {
 public:
  ContentDiffers() : std::runtime_error("the content differs") {}
};

/// Counts for the session what is sent on of a path, as it goes: Nix unpacks an archive under its
/// path's name, and leaves there what it has when it is told that it was the wrong one.
class CountingSink final : public Sink {
 public:
  CountingSink(Sink& next, Session& session, const StorePath& path)
      : next_(next), session_(session), path_(path) {}
  void write(std::string_view bytes) override {
    passed_ += bytes.size();
    session_.count_taken(path_, passed_);
    next_.write(bytes);
  }

 private:
  Sink& next_;
  Session& session_;
  const StorePath& path_;
  std::uint64_t passed_ = 0;
};

/// Sends an archive on while it is read; whether it is what its hash and its address say is known
/// only at its end, but for one that was held till then nothing has begun.
tl::expected<Upstream::Result<void>, Failure> stream_archive(const wire::AddToStoreNar& request,
                                                             const ContentAddress& address,
                                                             Source& archive, Call& call) {
  bool right = false;
  try {
    auto added = call.upstream.get().add_to_store_nar(request, [&](Sink& sink) {
      CountingSink counting(sink, call.session, request.path);
      HoldingSink holding(counting);
      policy::ArchiveCheck check(holding, request.info, address);
      copy_nar(archive, check, nar_limits(call));
      right = check.matches(std::nullopt);
      if (!right && holding.is_holding()) throw ContentDiffers();
      if (holding.is_holding()) holding.release();
    });
    // Whatever upstream made of it: the answer must not depend on what the host has.
    if (!right) return content_differs(call.session.layout(), request.path);
    return added;
  } catch (const ContentDiffers&) {
    call.upstream.drop();  // in the middle of an upload
    return content_differs(call.session.layout(), request.path);
  }
}

/// One path of AddToStoreNar or AddMultipleToStore, already decided by policy::add_nar.
///
/// The content is checked here and not left to upstream: of a path that is valid already, upstream
/// does not look at the archive, so what came with the path's name would be believed, and whether
/// it was believed would tell that the path is on the host.
Handled add_nar(const wire::AddToStoreNar& request, Source& archive, Additions& additions,
                Call& call) {
  const auto& layout = call.session.layout();
  const auto address = ContentAddress::parse(request.info.content_address);
  if (call.session.is_own_output(request.path))
    return refuse(policy::own_output(layout.print(request.path)));
  auto passed = request;
  passed.repair = false;
  passed.dont_check_signatures = false;
  passed.info.deriver.reset();
  passed.info.signatures.clear();
  passed.info.ultimate = false;
  passed.info.registration_time = 0;

  Upstream::Result<void> added;
  std::optional<Derivation> derivation;
  if (address->method != IngestionMethod::recursive) {
    // One file, a derivation among them. Small enough to be read whole and checked before any of it
    // travels on.
    StringSink content;
    std::optional<SingleFile> file;
    auto limits = nar_limits(call);
    limits.size = call.services.config.limits.derivation_bytes;
    policy::ArchiveCheck check(content, request.info, *address);
    copy_nar(archive, check, limits, limits.size, file);
    if (!check.matches(file)) return content_differs(layout, request.path);
    if (request.path.is_derivation()) {
      auto decided = decide_derivation(request.path.name(), std::move(file->content),
                                       request.info.references, additions);
      if (!decided) return tl::unexpected(decided.error());
      derivation = *std::move(decided);
    }
    added = call.upstream.get().add_to_store_nar(passed,
                                                 [&](Sink& sink) { sink.write(content.text()); });
  } else {
    auto streamed = stream_archive(passed, *address, archive, call);
    if (!streamed) return tl::unexpected(streamed.error());
    added = *std::move(streamed);
  }
  if (!added) refused_by_host(added.error());
  additions.add(request.path, request.info.nar_size, std::move(derivation));
  return {};
}

}  // namespace

Handled add_to_store(const wire::AddToStore& request, Call& call) {
  const auto method = AddMethod::parse(request.method);
  const bool archive =
      method->method == IngestionMethod::recursive || method->method == IngestionMethod::git;
  const bool is_derivation = request.name.ends_with(".drv");
  UploadBody body = [&](Sink& sink) {
    if (archive)
      copy_nar(*call.body, sink, nar_limits(call));
    else
      copy_raw(*call.body, sink, call.services.config.limits.nar_bytes);
  };
  std::string content;
  std::optional<Derivation> derivation;
  // A derivation is text, by its rule. Before protocol 1.25 a flat file comes as an archive of it,
  // and is wanted without that, nor is its executable bit.
  if (is_derivation || (!archive && !call.body->is_framed())) {
    auto text = read_file(call);
    if (is_derivation) {
      auto decided = decide_derivation(request.name, text, request.references, call.session);
      if (!decided) return tl::unexpected(decided.error());
      derivation = *std::move(decided);
    } else if (!text) {
      return tl::unexpected(Failure{"a flat file must be one regular file", {}});
    }
    content = *std::move(text);
    body = [&](Sink& sink) { sink.write(content); };
  }
  const auto added = add(request, body, call, std::move(derivation));
  if (!added) return tl::unexpected(added.error());
  call.reply(*added);
  return {};
}

Handled add_text_to_store(const wire::AddTextToStore& request, Call& call) {
  std::optional<Derivation> derivation;
  if (request.name.ends_with(".drv")) {
    auto decided = decide_derivation(request.name, request.text, request.references, call.session);
    if (!decided) return tl::unexpected(decided.error());
    derivation = *std::move(decided);
  }
  const wire::AddToStore as_content{request.name, "text:sha256", request.references, false};
  const auto added = add(
      as_content, [&](Sink& sink) { sink.write(request.text); }, call, std::move(derivation));
  if (!added) return tl::unexpected(added.error());
  call.reply(wire::PathReply{added->path});
  return {};
}

Handled add_to_store_nar(const wire::AddToStoreNar& request, Call& call) {
  Additions additions(call.session);
  if (auto done = add_nar(request, *call.body, additions, call); !done) return done;
  additions.grant();
  call.reply();
  return {};
}

Handled add_multiple_to_store(const wire::AddMultipleToStore& request, Call& call) {
  const auto& limits = call.services.config.limits;
  wire::Reader from(*call.body, call.session.layout(),
                    {limits.string_bytes, limits.list_items, limits.request_bytes});
  Additions additions(call.session);
  for (auto n = from.count(); n > 0; --n) {
    from.begin();
    auto path = from.path();
    const wire::AddToStoreNar item{std::move(path), wire::read_path_info(from), request.repair,
                                   request.dont_check_signatures};
    if (auto verdict = policy::add_nar(item, additions); verdict.refused())
      return refuse(std::move(verdict));
    if (auto done = add_nar(item, *call.body, additions, call); !done) return done;
  }
  additions.grant();
  call.reply();
  return {};
}

}  // namespace airlock::handlers
