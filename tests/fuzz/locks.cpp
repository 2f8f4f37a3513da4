// Lock files: what is found in one is canonical, so that airlock-fetchd takes it, and leads to the
// path that its own content address gives.
#include "daemon/fetch/locks.hpp"

#include "daemon/fetch/conversation.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace airlock;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const StoreLayout layout;
  const auto locks =
      fetch::parse_locks(layout, {reinterpret_cast<const char*>(data), size}, "file");
  if (!locks) return 0;
  for (const auto& lock : *locks) {
    fuzz::require(fetch::is_canonical(lock.origin), "what is locked can be asked for");
    fuzz::require(path_of(layout, lock.path.name(), lock.address, {}) == lock.path,
                  "the path is the one of its content");
    fuzz::require(!lock.path.is_derivation(), "nothing fetched is a derivation");
    const bool flat = lock.address.method == IngestionMethod::flat;
    fuzz::require(!flat || lock.origin.kind == fetch::Kind::file, "only files are flat");
  }
  return 0;
}
