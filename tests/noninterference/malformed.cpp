#include "tests/noninterference/malformed.hpp"

#include <stdexcept>

namespace noninterference {

using namespace airlock;

Exchange malformed(const char* name, World& world, Dice& dice, wire::Version) {
  const auto& layout = world.hosts.materials.layout;
  StringSink sink;
  wire::Writer writer(sink, layout);
  const auto hidden = layout.print(world.unseen_path(dice));
  std::string about;
  const std::vector<wire::Op> on_path{wire::Op::is_valid_path,    wire::Op::query_path_info,
                                      wire::Op::nar_from_path,    wire::Op::query_referrers,
                                      wire::Op::query_references, wire::Op::ensure_path};
  switch (dice.below(7)) {
    case 0: {
      about = "a path that is none";
      const std::vector<std::string> paths{"",
                                           "/etc/passwd",
                                           hidden + "/file",
                                           hidden + "!out",
                                           "/nix/store/../store/x",
                                           hidden.substr(0, 20),
                                           hidden.substr(11)};
      writer.u64(static_cast<std::uint64_t>(dice.of(on_path)));
      writer.string(dice.of(paths));
      break;
    }
    case 1:
      about = "an operation that does not exist";
      writer.u64(
          std::vector<std::uint64_t>{0, 2, 15, 17, 48, 1000, 1001, 1ull << 40}[dice.below(8)]);
      break;
    case 2:
      about = "a string without end";
      writer.u64(static_cast<std::uint64_t>(dice.of(on_path)));
      writer.u64(1ull << 60);
      break;
    case 3:
      about = "a list without end";
      writer.u64(static_cast<std::uint64_t>(wire::Op::query_valid_paths));
      writer.u64(1ull << 50);
      break;
    case 4:
      about = "padding that is not zero";
      writer.u64(static_cast<std::uint64_t>(dice.of(on_path)));
      writer.u64(hidden.size() % 8 == 0 ? hidden.size() - 1 : hidden.size());
      sink.write(hidden + "!!!!!!!!");
      break;
    case 5:
      about = "a build mode that does not exist";
      writer.u64(static_cast<std::uint64_t>(wire::Op::build_paths));
      writer.u64(0);
      writer.u64(7);
      break;
    default:
      about = "a target without outputs";
      writer.u64(static_cast<std::uint64_t>(wire::Op::build_paths));
      writer.u64(1);
      writer.string(hidden + "!");
      break;
  }
  Exchange exchange{name, about, sink.text()};
  exchange.read_reply = [about](wire::Reader&, wire::Version) {
    throw std::runtime_error("answered was " + about);
  };
  return exchange;
}

}  // namespace noninterference
