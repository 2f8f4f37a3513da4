#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "daemon/mediator/call.hpp"
#include "daemon/mediator/observed.hpp"
#include "daemon/mediator/passage.hpp"
#include "daemon/policy/scene.hpp"
#include "daemon/policy/verdict.hpp"
#include "daemon/wire/messages.hpp"

namespace airlock {

/// One decoded operation, ready to be decided and then done.
class Request {
 public:
  Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  virtual ~Request() = default;

  /// What it is about, for the ledger: paths and names, at most 4 KiB, printable.
  [[nodiscard]] virtual std::string subject(const StoreLayout& layout) const = 0;
  /// The paths whose presence it asks about: those that are locked are fetched first. None for
  /// other operations.
  [[nodiscard]] virtual std::set<StorePath> asks_for() const = 0;
  [[nodiscard]] virtual policy::Verdict decide(const policy::Scene& scene) const = 0;
  [[nodiscard]] virtual Handled handle(Call& call) const = 0;
  /// Profile observe: has the daemon decide and do it, amends what strict would have said by
  /// the content of an upload, and notes what the session may see since.
  [[nodiscard]] virtual Handled forward(Call& call, Passage& passage, Observation& seen) const = 0;
};

/// One row of the table.
struct Operation {
  wire::Op op;
  std::string_view name;              ///< the protocol's
  wire::Version since;                ///< the first version that has it
  wire::Body (*body)(wire::Version);  ///< how an upload follows the arguments
  std::unique_ptr<Request> (*decode)(wire::Reader& from, wire::Version version);
};

/// Every operation that airlock knows, in the order of their numbers.
[[nodiscard]] std::span<const Operation> operations();
/// Null for a number that this version does not have.
[[nodiscard]] const Operation* find_operation(std::uint64_t number, wire::Version version);

}  // namespace airlock
