#include "daemon/mediator/old_daemon.hpp"

#include <string_view>

#include "daemon/mediator/failure_text.hpp"

namespace airlock {

void write_file_nar(std::string_view content, Sink& sink) {
  const StoreLayout none;
  wire::Writer to(sink, none);  // the strings of a NAR are those of the protocol
  for (const auto* text : {"nix-archive-1", "(", "type", "regular", "contents"}) to.string(text);
  to.string(content);
  to.string(")");
}

wire::BuildStatus status_of_old_failure(const wire::Error& error, wire::Version version) {
  using wire::BuildStatus;
  if (version < wire::since::structured_errors) {
    constexpr std::uint64_t build_failed = 100;
    constexpr std::uint64_t timed_out = 1;
    constexpr std::uint64_t hash_mismatch = 2;
    if ((error.status & build_failed) != build_failed) return BuildStatus::misc_failure;
    if ((error.status & timed_out) != 0) return BuildStatus::timed_out;
    if ((error.status & hash_mismatch) != 0) return BuildStatus::output_rejected;
    return BuildStatus::permanent_failure;
  }
  const auto reason = reason_in(error.message);
  const auto says = [&](const char* text) { return reason.find(text) != std::string_view::npos; };
  if (says("timed out")) return BuildStatus::timed_out;
  if (says("dependencies of derivation") || says("dependency of derivation"))
    return BuildStatus::dependency_failed;
  if (says("failed with exit code") || says("failed due to signal"))
    return BuildStatus::permanent_failure;
  return says("hash mismatch") ? BuildStatus::output_rejected : BuildStatus::misc_failure;
}

}  // namespace airlock
