#include "tests/noninterference/world.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "daemon/mediator/old_daemon.hpp"

namespace noninterference {

namespace {

using namespace airlock;

constexpr std::size_t inners_of_a_world = 10;
constexpr std::size_t contents_of_a_world = 8;

/// Each as often as it stands here.
const std::vector<Kind> ordinary{
    Kind::succeeds,       Kind::succeeds,        Kind::succeeds,
    Kind::succeeds,       Kind::makes_folder,    Kind::makes_folder,
    Kind::two_outputs,    Kind::two_outputs,     Kind::fixed_flat,
    Kind::fixed_flat,     Kind::fixed_recursive, Kind::fixed_recursive,
    Kind::fails,          Kind::fails,           Kind::fails_with_log,
    Kind::no_program,     Kind::makes_nothing,   Kind::names_what_it_must_not,
    Kind::without_sandbox};
/// A session does not survive these.
const std::vector<Kind> fatal{Kind::fixed_wrong, Kind::fixed_fails, Kind::fills_the_log,
                              Kind::needs_a_feature};
const std::vector<Place> places{Place::neither, Place::neither, Place::neither, Place::only_b,
                                Place::only_b,  Place::only_b,  Place::only_a,  Place::both};

bool is_at(Place place, bool a) {
  return place == Place::both || place == (a ? Place::only_a : Place::only_b);
}

void done_by_host(Channel& host, Exchange exchange) {
  exchange.builds = true;  // its log does not matter
  host.send(exchange.bytes);
  const auto outcome = host.receive(exchange);
  if (outcome.end != End::replied)
    throw std::runtime_error("a host could not be prepared: " + exchange.name + " " +
                             exchange.about + ": " + outcome.message);
}

StorePath made_up(Dice& dice, const std::string& name) {
  const auto text = std::to_string(dice.number());
  return StorePath::parse(to_nix32(sha256(text).digest).substr(0, 32) + "-" + name).value();
}

}  // namespace

std::string archive_of(const std::string& content) {
  StringSink sink;
  write_file_nar(content, sink);
  return sink.text();
}

Hosts read_hosts(const std::string& folder) {
  const auto layout = StoreLayout{};
  std::ifstream file(folder + "/paths");
  std::vector<StorePath> visible;
  std::vector<StorePath> hidden;
  std::optional<StorePath> shell;
  std::optional<StorePath> source;
  std::string platform;
  std::string word;
  std::string value;
  while (file >> word >> value) {
    if (word == "platform") {
      platform = value;
      continue;
    }
    const auto path = layout.parse(value);
    if (!path) throw std::runtime_error(path.error());
    if (word == "shell") shell = *path;
    if (word == "source") source = *path;
    (word == "hidden" ? hidden : visible).push_back(*path);
  }
  if (!shell || !source || hidden.empty()) throw std::runtime_error("no hosts in " + folder);
  return {{layout, *shell, *source, platform}, visible, hidden};
}

World::World(const Hosts& known, const std::string& nonce, std::uint64_t seed)
    : hosts(known), seen(known.visible.begin(), known.visible.end()), seed_(seed) {
  Dice dice(seed);
  const auto add = [&](Kind kind, const std::vector<const Inner*>& inputs) {
    inners.push_back(std::make_unique<Inner>(
        make_inner(known.materials, kind, nonce + "-" + std::to_string(inners.size()), inputs)));
    inner_places_.push_back(dice.of(places));
  };
  if (dice.one_in(7)) add(dice.of(fatal), {});
  if (dice.one_in(12)) add(Kind::sleeps, {});
  while (inners.size() < inners_of_a_world) {
    std::vector<const Inner*> inputs;
    if (inners.size() > 2 && dice.one_in(3))
      for (auto n = 1 + dice.below(3); n > 0; --n) {
        const auto* input = inners[dice.below(inners.size())].get();
        if (input->kind != Kind::sleeps) inputs.push_back(input);
      }
    add(inputs.empty() ? dice.of(ordinary) : Kind::needs_all, inputs);
  }
  for (std::size_t i = 0; i < contents_of_a_world; ++i) {
    const auto method = std::vector{IngestionMethod::text, IngestionMethod::flat,
                                    IngestionMethod::recursive}[dice.below(3)];
    const auto name = "content-" + nonce + "-" + std::to_string(i);
    const auto text = "text of " + name + std::string(dice.below(3000), 'x');
    const auto archive = archive_of(text);
    const ContentAddress address{method,
                                 sha256(method == IngestionMethod::recursive ? archive : text)};
    contents.push_back({name, text, archive, method,
                        path_of(known.materials.layout, name, address, {}).value(), address});
    content_places_.push_back(dice.of(places));
  }
}

bool World::may_be_there(const Inner& inner) const {
  if (is_fixed(inner.kind)) return true;
  if (inner.kind != Kind::needs_all) return can_be_built(inner.kind);
  return std::all_of(inner.derivation.input_derivations.begin(),
                     inner.derivation.input_derivations.end(), [&](const auto& input) {
                       const auto* needed = inner_of(input.first);
                       return needed->kind != Kind::fixed_wrong &&
                              needed->kind != Kind::fixed_fails && may_be_there(*needed);
                     });
}

/// The outputs as from elsewhere: with another deriver, signatures and a time of their own.
void World::import(Channel& host, const Inner& inner, Dice& dice) const {
  for (const auto& [output, content] : inner.contents) {
    const auto& made = inner.derivation.outputs.at(output);
    const auto archive = archive_of(content);
    wire::AddToStoreNar request{*made.path, {}, false, true};
    request.info.deriver = made_up(dice, "elsewhere.drv");
    request.info.nar_hash = sha256(archive).base16();
    request.info.nar_size = archive.size();
    request.info.registration_time = 1'000'000'000 + dice.below(1'000'000);
    request.info.signatures = {"elsewhere-1:" + std::string(86, 'A') + "=="};
    if (const auto address = made.content_address())
      request.info.content_address = address->print();
    done_by_host(host, upload_of("import", hosts.materials.layout.print(*made.path), request,
                                 archive, hosts.materials.layout, host.version()));
  }
}

void World::prepare(Channel& host, bool is_a) const {
  Dice dice(seed_ + (is_a ? 1 : 2));
  const auto& layout = hosts.materials.layout;
  for (std::size_t i = 0; i < inners.size(); ++i) {
    const auto& inner = *inners[i];
    if (!is_at(inner_places_[i], is_a)) continue;
    const bool imported = dice.one_in(2) && !inner.contents.empty();
    if (may_be_there(inner) && (imported || !can_be_built(inner.kind))) {
      import(host, inner, dice);
      continue;
    }
    const auto inputs = inner.derivation.references();
    if (!inner.derivation.input_derivations.empty()) continue;  // which the host need not have
    wire::AddTextToStore file{std::string(inner.path.name()), inner.text, inputs};
    done_by_host(host, exchange_of("add", inner.text, file, layout, host.version()));
    if (!can_be_built(inner.kind)) continue;
    wire::BuildPaths build{{{inner.path, true, {}}}};
    done_by_host(host,
                 exchange_of("build", layout.print(inner.path), build, layout, host.version()));
  }
  for (std::size_t i = 0; i < contents.size(); ++i) {
    if (!is_at(content_places_[i], is_a)) continue;
    const auto& content = contents[i];
    wire::AddToStore request{content.name, AddMethod{content.method}.print(), {}, false};
    done_by_host(host, upload_of("add", content.name, request,
                                 content.method == IngestionMethod::recursive ? content.archive
                                                                              : content.text,
                                 layout, host.version()));
  }
}

const Inner* World::inner_of(const StorePath& path) const {
  for (const auto& inner : inners)
    if (inner->path == path) return inner.get();
  return nullptr;
}

StorePath World::seen_path(Dice& dice) const {
  if (dice.one_in(4)) return dice.of(hosts.visible);
  return *std::next(seen.begin(), static_cast<std::ptrdiff_t>(dice.below(seen.size())));
}

StorePath World::unseen_path(Dice& dice) const {
  switch (dice.below(5)) {
    case 0:
      return dice.of(inners)->path;
    case 1:
      return *dice.of(inners)->derivation.outputs.at("out").path;
    case 2:
      return dice.of(contents).path;
    case 3:
      return made_up(dice, dice.one_in(3) ? "never.drv" : "never");
    default:
      return dice.of(hosts.hidden);
  }
}

StorePath World::any_path(Dice& dice) const {
  return dice.below(10) < 7 ? seen_path(dice) : unseen_path(dice);
}

std::set<StorePath> World::some_paths(Dice& dice) const {
  std::set<StorePath> paths;
  for (auto n = dice.below(8); n > 0; --n) paths.insert(any_path(dice));
  return paths;
}

const Inner* World::sleeper() const {
  for (const auto& inner : inners)
    if (inner->kind == Kind::sleeps) return inner.get();
  return nullptr;
}

Place World::place_of(const Inner& inner) const {
  for (std::size_t i = 0; i < inners.size(); ++i)
    if (inners[i].get() == &inner && may_be_there(inner)) return inner_places_[i];
  return Place::neither;
}

const Inner* World::to_build(Dice& dice) const {
  std::vector<const Inner*> added;
  std::vector<const Inner*> others;
  for (const auto& inner : inners)
    if (inner->kind != Kind::sleeps) (is_seen(inner->path) ? added : others).push_back(inner.get());
  if (!others.empty() && dice.one_in(8)) return dice.of(others);
  return added.empty() ? nullptr : dice.of(added);
}

const Inner& World::to_add(Dice& dice) const {
  if (!dice.one_in(5))
    for (const auto& inner : inners)
      if (!is_seen(inner->path)) return *inner;
  return *dice.of(inners);
}

}  // namespace noninterference
