#include "daemon/policy/content.hpp"

#include <fmt/format.h>

#include "daemon/policy/rules.hpp"

namespace airlock::policy {

namespace {

tl::unexpected<Verdict> no_derivation(std::string reason) {
  return tl::unexpected(Verdict{Decision::deny, "derivation-inputs", std::move(reason),
                                "write it with nix-instantiate"});
}

}  // namespace

tl::expected<Derivation, Verdict> add_derivation_text(std::string_view name,
                                                      const std::optional<std::string>& text,
                                                      const std::set<StorePath>& references,
                                                      const Scene& scene) {
  if (!text)
    return no_derivation(
        "a store path whose name ends in .drv must be one regular file that can be a derivation");
  auto derivation = Derivation::parse_as(scene.layout(), name, *text);
  if (!derivation)
    return no_derivation(fmt::format("the derivation does not parse: {}", derivation.error()));
  if (auto verdict = add_derivation(*derivation, references, scene); verdict.refused())
    return tl::unexpected(std::move(verdict));
  return *std::move(derivation);
}

ArchiveCheck::ArchiveCheck(Sink& next, const wire::PathInfo& info, const ContentAddress& address)
    : next_(next), info_(info), address_(address) {
  if (address.method == IngestionMethod::recursive &&
      address.hash.algorithm != HashAlgorithm::sha256)
    addressed_.emplace(address.hash.algorithm);
}

void ArchiveCheck::write(std::string_view bytes) {
  archive_.update(bytes);
  if (addressed_) addressed_->update(bytes);
  size_ += bytes.size();
  next_.write(bytes);
}

bool ArchiveCheck::matches(const std::optional<SingleFile>& file) {
  const auto archive = archive_.finish();
  const auto claimed = Hash::parse(HashAlgorithm::sha256, info_.nar_hash);
  if (!claimed || *claimed != archive || info_.nar_size != size_) return false;
  if (address_.method == IngestionMethod::recursive)
    return (addressed_ ? addressed_->finish() : archive) == address_.hash;
  // The address says nothing of the bit: with it, one path would have two contents.
  if (!file || file->executable) return false;
  Hasher content(address_.hash.algorithm);
  content.update(file->content);
  return content.finish() == address_.hash;
}

Verdict content_differs(const StoreLayout& layout, const StorePath& path) {
  return {Decision::deny, "add-content-addressed",
          fmt::format("the archive sent for {} is not what its hash, its size and its "
                      "content address say",
                      layout.print(path)),
          "send the content that they were computed from"};
}

}  // namespace airlock::policy
