#include "tests/noninterference/pair.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "tests/noninterference/operations.hpp"

namespace noninterference {

namespace {

using namespace airlock;

constexpr int patience = 60'000;  // milliseconds

const char* name_of(End end) {
  switch (end) {
    case End::replied:
      return "replied";
    case End::error:
      return "error";
    case End::closed:
      return "error, closed";
    case End::silent:
      return "condemned";
  }
  return "";
}

std::string hex(const std::string& bytes) {
  constexpr std::size_t most = 4096;
  std::string text;
  for (std::size_t i = 0; i < std::min(bytes.size(), most); ++i)
    text += fmt::format("{:02x}", static_cast<unsigned char>(bytes[i]));
  if (bytes.size() > most) text += fmt::format("… ({} bytes)", bytes.size());
  return text;
}

std::string described(const char* who, const Outcome& outcome) {
  return fmt::format("{}: {} {}\n   {}\n", who, name_of(outcome.end), outcome.message,
                     hex(outcome.bytes));
}

/// The cause without the names in it.
std::string cause_of(const std::string& reason) {
  for (const auto* known :
       {"timed out", "silent", "more than", "was not built; its log is not shown",
        "required to build", "Required features", "did not add a path",
        "for a reason of this machine", "did not build", "promised"})
    if (reason.find(known) != std::string::npos) return known;
  return reason;
}

std::string outcome_name(wire::BuildStatus status) {
  switch (status) {
    case wire::BuildStatus::built:
      return "built";
    case wire::BuildStatus::permanent_failure:
      return "failed";
    case wire::BuildStatus::output_rejected:
      return "output-rejected";
    case wire::BuildStatus::dependency_failed:
      return "dependency-failed";
    default:
      return fmt::format("status-{}", static_cast<std::uint64_t>(status));
  }
}

}  // namespace

Host::Host(const std::string& folder, const StoreLayout& layout)
    : folder_(folder),
      control_(::open((folder + "/control").c_str(), O_RDWR | O_CLOEXEC)),
      answer_(::open((folder + "/answer").c_str(), O_RDWR | O_CLOEXEC)),
      own_(folder + "/host.sock", layout) {
  (void)own_.shake_hands(wire::newest);
}

std::pair<int, std::string> Host::renew() {
  const std::string_view word = "next\n";
  if (::write(control_.get(), word.data(), word.size()) < 0)
    throw std::runtime_error("a host does not listen");
  std::string answer;
  for (char c = 0; c != '\n';) {
    pollfd waiting{answer_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, patience) != 1 || ::read(answer_.get(), &c, 1) != 1)
      throw std::runtime_error("a host did not begin another session");
    answer += c;
  }
  answer.pop_back();
  const auto space = answer.find(' ');
  return {std::stoi(answer), space == std::string::npos ? "" : answer.substr(space + 1)};
}

Pair::Pair(const std::string& folder, const Hosts& hosts, Totals& totals)
    : hosts_(hosts),
      totals_(totals),
      a_(folder + "/a", hosts.materials.layout),
      b_(folder + "/b", hosts.materials.layout) {}

/// Whoever ended without a word has to have been condemned, and nobody else.
void Pair::renew(const Exchange* last, const Outcome* a, const Outcome* b) {
  lines_ = {};
  const auto check = [&](Host& host, const Outcome* outcome, const char* who) {
    const auto [status, reason] = host.renew();
    const bool silent = outcome != nullptr && outcome->end == End::silent;
    if ((status == 1) != silent || (status != 0 && status != 1))
      throw Differs(fmt::format("the session at {} ended with status {}: {}", who, status, reason));
    return silent ? cause_of(reason) : std::string();
  };
  const auto cause_a = check(a_, a, "a");
  const auto cause_b = check(b_, b, "b");
  if (cause_a.empty() && cause_b.empty()) return;
  const auto* where = cause_a.empty() ? "b only" : cause_b.empty() ? "a only" : "both";
  ++totals_.condemnations[fmt::format("{}: {}: {}", where, last->name,
                                      cause_a.empty() ? cause_b : cause_a)];
}

Pair::Line& Pair::line(std::size_t index, Dice& dice) {
  auto& found = lines_.at(index);
  const wire::Version version{
      1, static_cast<std::uint8_t>(dice.one_in(2) ? 34 + dice.below(5) : 21 + dice.below(18))};
  if (found.a) return found;
  found.a = std::make_unique<Channel>(a_.socket(), hosts_.materials.layout);
  found.b = std::make_unique<Channel>(b_.socket(), hosts_.materials.layout);
  const auto from_a = found.a->shake_hands(version);
  const auto from_b = found.b->shake_hands(version);
  story_.push_back(fmt::format("connection {} speaks {}", index, version.print()));
  ++totals_.versions[version.print()];
  if (from_a != from_b)
    throw Differs(fmt::format("handshakes differ\na: {}\nb: {}", hex(from_a), hex(from_b)));
  return found;
}

void Pair::run(World& world, const std::vector<std::uint64_t>& steps) {
  story_.clear();
  over_ = false;
  ++totals_.sequences;
  renew(nullptr, nullptr, nullptr);
  world.prepare(a_.own(), true);
  world.prepare(b_.own(), false);
  for (const auto seed : steps) {
    if (over_) return;
    step(world, seed);
  }
}

void Pair::step(World& world, std::uint64_t seed) {
  Dice dice(seed);
  const std::size_t index = dice.one_in(4) ? 1 : 0;
  auto& on = line(index, dice);
  const auto version = on.a->version();
  const auto* sleeper = world.sleeper();
  if (sleeper != nullptr && world.is_seen(sleeper->path) && dice.one_in(12)) {
    exchange(world, on, time_limit(dice, world, version));
    exchange(world, on, build_of(world, *sleeper, version));
    return;
  }
  const auto chosen = any_operation(world, dice, version);
  if (!chosen.adds || chosen.bytes.size() < 200 || !dice.one_in(4))
    return exchange(world, on, chosen);
  // The other connection has its turn in the middle of this one's upload.
  const auto half = chosen.bytes.size() / 2;
  send(on, std::string_view(chosen.bytes).substr(0, half));
  auto& other = line(1 - index, dice);
  exchange(world, other, small_question(world, dice, other.a->version()));
  ++totals_.interleaved;
  send(on, std::string_view(chosen.bytes).substr(half));
  compare(world, on, chosen);
}

void Pair::send(Line& to, std::string_view bytes) {
  to.a->send(bytes);
  to.b->send(bytes);
}

void Pair::exchange(World& world, Line& on, const Exchange& exchange) {
  send(on, exchange.bytes);
  compare(world, on, exchange);
}

void Pair::compare(World& world, Line& on, const Exchange& exchange) {
  story_.push_back(
      fmt::format("{} {} ({} bytes)", exchange.name, exchange.about, exchange.bytes.size()));
  world.results.clear();
  const auto a = on.a->receive(exchange);
  const auto results = std::exchange(world.results, {});
  const auto b = on.b->receive(exchange);
  story_.back() += fmt::format(" -> {} {}", name_of(a.end), a.message);
  totals_.count(exchange, a);
  for (const auto& [inner, status] : results) {
    auto& outcomes = totals_.builds[noninterference::name_of(inner->kind)];
    ++outcomes[outcome_name(status)];
    const auto place = world.place_of(*inner);
    if (place == Place::only_a) ++outcomes["(there on a)"];
    if (place == Place::only_b) ++outcomes["(there on b)"];
  }
  if (exchange.name == "BuildPaths" && a.end == End::error && !a.message.starts_with("airlock"))
    ++totals_.builds["any, by BuildPaths"]["failed"];
  if (a.end == End::silent || b.end == End::silent) return condemned(exchange, a, b);
  if (a.end != b.end || a.bytes != b.bytes)
    throw Differs(fmt::format("{} {}\nsent: {}\n{}{}", exchange.name, exchange.about,
                              hex(exchange.bytes), described("a", a), described("b", b)));
  if (a.end == End::closed) on = {};
}

/// A sandbox that was ended learns nothing: so nothing but that may have been said to it.
void Pair::condemned(const Exchange& exchange, const Outcome& a, const Outcome& b) {
  const auto& dead = a.end == End::silent ? a : b;
  const auto& other = a.end == End::silent ? b : a;
  if (!exchange.builds && !exchange.adds)
    throw Differs(fmt::format("{} {} condemned a session\n{}{}", exchange.name, exchange.about,
                              described("a", a), described("b", b)));
  const bool told = (a.end == End::silent && a.told) || (b.end == End::silent && b.told);
  const auto common = std::min(dead.bytes.size(), other.bytes.size());
  if (told || dead.bytes.compare(0, common, other.bytes, 0, common) != 0)
    throw Differs(fmt::format("a condemned session was told something\n{}{}", described("a", a),
                              described("b", b)));
  over_ = true;
  renew(&exchange, &a, &b);
}

}  // namespace noninterference
