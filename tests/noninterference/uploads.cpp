#include "tests/noninterference/uploads.hpp"

namespace noninterference {

namespace {

using namespace airlock;
using wire::Version;

const StoreLayout& layout_of(const World& world) {
  return world.hosts.materials.layout;
}

/// Now and then something that is not visible.
std::set<StorePath> references_for(const World& world, Dice& dice) {
  std::set<StorePath> references;
  if (dice.one_in(5)) references.insert(world.seen_path(dice));
  if (dice.one_in(15)) references.insert(world.unseen_path(dice));
  return references;
}

/// A path as AddToStoreNar names it, with its archive.
struct Finished {
  wire::AddToStoreNar request;
  std::string archive;
};

/// Larger than the limit of one archive, now and then.
std::string some_text(const World& world, Dice& dice) {
  if (dice.one_in(30)) return std::string(90'000, 'l');
  return "fresh " + std::to_string(dice.below(1000)) + world.contents.front().name;
}

/// Content of the world or a derivation of it, as it is or with one thing wrong.
Finished some_finished(const World& world, Dice& dice) {
  std::string text;
  std::string archive;
  std::optional<StorePath> path;
  std::optional<ContentAddress> address;
  std::set<StorePath> references;
  if (dice.one_in(3)) {
    const auto& inner = world.to_add(dice);
    text = inner.text;
    archive = archive_of(text);
    path = inner.path;
    address = {IngestionMethod::text, sha256(text)};
    references = inner.derivation.references();
  } else if (dice.one_in(8)) {
    text = some_text(world, dice);
    archive = archive_of(text);
    address = {IngestionMethod::recursive, sha256(archive)};
    references = references_for(world, dice);
    path = path_of(layout_of(world), "fresh", *address, {references, false}).value();
  } else {
    const auto& content = dice.of(world.contents);
    archive = content.archive;
    path = content.path;
    address = content.address;
  }
  Finished finished{{*path, {}, false, false}, archive};
  auto& info = finished.request.info;
  info.nar_hash = sha256(archive).base16();
  info.nar_size = archive.size();
  info.references = references;
  info.content_address = address->print();
  info.registration_time = dice.below(2'000'000'000);
  info.ultimate = dice.one_in(2);
  if (dice.one_in(2)) info.deriver = world.any_path(dice);
  if (dice.one_in(4)) info.signatures = {"key-1:AAAA"};
  if (dice.one_in(10)) finished.request.dont_check_signatures = true;
  switch (dice.below(30)) {
    case 0:
      finished.archive = archive_of("something else");
      break;
    case 1:
      info.nar_hash = sha256("something else").base16();
      break;
    case 2:
      info.content_address.clear();
      break;
    case 3:
      info.content_address = ContentAddress{IngestionMethod::flat, sha256("else")}.print();
      break;
    case 4:
      info.references.insert(world.unseen_path(dice));
      break;
    case 5:
      finished.request.repair = true;
      break;
    case 6:
      finished.request.path = world.any_path(dice);
      break;
    case 7:
      finished.archive.resize(finished.archive.size() / 2);
      finished.archive += finished.archive;
      break;
    default:
      break;
  }
  return finished;
}

}  // namespace

Exchange add_content(const char* name, World& world, Dice& dice, Version version) {
  const bool fresh = dice.one_in(4);
  const auto& content = dice.of(world.contents);
  const auto text = fresh ? some_text(world, dice) : content.text;
  const auto method = fresh ? IngestionMethod::recursive : content.method;
  wire::AddToStore request{fresh ? "fresh" : content.name, AddMethod{method}.print(), {}, false};
  if (fresh && version >= wire::since::content_addresses)
    request.references = references_for(world, dice);
  if (dice.one_in(40)) request.repair = true;
  if (dice.one_in(40)) request.name = ".not-allowed/";
  if (dice.one_in(30)) request.method = "fixed:sha1";
  // Before there were methods, text had an operation of its own.
  if (version < wire::since::content_addresses && request.method == "text:sha256")
    request.method = "fixed:sha256";
  const bool archive =
      method == IngestionMethod::recursive || version < wire::since::content_addresses;
  return upload_of<wire::AddToStore>(
      name, request.name, request, archive ? archive_of(text) : text, layout_of(world), version,
      [&world](const wire::AddedPath& added) { world.seen.insert(added.path); });
}

Exchange add_text(const char* name, World& world, Dice& dice, Version version) {
  const auto& content = dice.of(world.contents);
  wire::AddTextToStore request{content.name, content.text, references_for(world, dice)};
  auto exchange = exchange_of<wire::AddTextToStore>(
      name, request.name, request, layout_of(world), version,
      [&world](const wire::PathReply& added) { world.seen.insert(added.path); });
  exchange.adds = true;
  return exchange;
}

Exchange add_derivation(const char* name, World& world, Dice& dice, Version version) {
  const auto& inner = world.to_add(dice);
  wire::AddTextToStore request{std::string(inner.path.name()), inner.text,
                               inner.derivation.references()};
  if (dice.one_in(30)) request.text += " ";
  if (dice.one_in(30)) request.references.erase(request.references.begin());
  auto exchange = exchange_of<wire::AddTextToStore>(
      name, request.name, request, layout_of(world), version,
      [&world](const wire::PathReply& added) { world.seen.insert(added.path); });
  exchange.adds = true;
  return exchange;
}

Exchange add_derivation_as_file(const char* name, World& world, Dice& dice, Version version) {
  if (version < wire::since::content_addresses) return add_content(name, world, dice, version);
  const auto& inner = world.to_add(dice);
  const wire::AddToStore request{std::string(inner.path.name()), "text:sha256",
                                 inner.derivation.references(), false};
  return upload_of<wire::AddToStore>(
      name, request.name, request, inner.text, layout_of(world), version,
      [&world](const wire::AddedPath& added) { world.seen.insert(added.path); });
}

Exchange add_archive(const char* name, World& world, Dice& dice, Version version) {
  const auto finished = some_finished(world, dice);
  return upload_of<wire::AddToStoreNar>(
      name, finished.request.path.base(), finished.request, finished.archive, layout_of(world),
      version,
      [&world, path = finished.request.path](const wire::Nothing&) { world.seen.insert(path); });
}

Exchange add_archives(const char* name, World& world, Dice& dice, Version version) {
  StringSink body;
  wire::Writer writer(body, layout_of(world));
  const auto n = dice.below(4);
  std::set<StorePath> paths;
  writer.u64(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto finished = some_finished(world, dice);
    paths.insert(finished.request.path);
    writer.path(finished.request.path);
    wire::write_path_info(writer, finished.request.info);
    writer.raw(finished.archive);
  }
  wire::AddMultipleToStore request;
  request.repair = dice.one_in(20);
  return upload_of<wire::AddMultipleToStore>(
      name, std::to_string(n) + " paths", request, body.text(), layout_of(world), version,
      [&world, paths](const wire::Nothing&) { world.seen.insert(paths.begin(), paths.end()); });
}

Exchange import_paths(const char* name, World& world, Dice& dice, Version version) {
  const auto& content = dice.of(world.contents);
  return upload_of(name, content.name, wire::ImportPaths{}, content.archive, layout_of(world),
                   version);
}

Exchange add_log(const char* name, World& world, Dice& dice, Version version) {
  const auto& inner = *dice.of(world.inners);
  return upload_of(name, inner.path.base(), wire::AddBuildLog{inner.path.base()}, "a log",
                   layout_of(world), version);
}

}  // namespace noninterference
