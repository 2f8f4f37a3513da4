// What a hostile build would send: each command is one operation, with arguments that a Nix client
// would not give it. Statuses as in raw_client.cpp.
#include "tests/e2e/wire_client.hpp"

namespace {

using namespace airlock;
using namespace airlock::tests;

/// The fields of a path sent as an archive: PATH ADDRESS NAR HASH FLAG [REFERENCE…], where FLAG is
/// "checked", "unchecked" (do not check signatures) or "repair", and ADDRESS may be "".
wire::AddToStoreNar sent_path(Client& client, const Arguments& arguments, std::size_t size) {
  wire::AddToStoreNar request{parse(client.layout, arguments.at(0)),
                              {},
                              arguments.at(4) == "repair",
                              arguments.at(4) == "unchecked"};
  request.info.content_address = arguments.at(1);
  request.info.nar_hash = arguments.at(3);
  request.info.nar_size = size;
  request.info.ultimate = true;
  request.info.signatures = {"invented-1:AAAA"};
  for (std::size_t i = 5; i < arguments.size(); ++i)
    request.info.references.insert(parse(client.layout, arguments[i]));
  return request;
}

void nar(Client& client, const Arguments& arguments) {
  client.handshake();
  const auto bytes = read_file(arguments.at(2));
  client.upload(sent_path(client, arguments, bytes.size()), bytes);
  std::cout << "added" << std::endl;
}

void multiple(Client& client, const Arguments& arguments) {
  client.handshake();
  const auto bytes = read_file(arguments.at(2));
  const auto path = sent_path(client, arguments, bytes.size());
  StringSink list;
  wire::Writer to(list, client.layout);
  to.u64(1);
  to.path(path.path);
  wire::write_path_info(to, path.info);
  to.raw(bytes);
  client.upload(wire::AddMultipleToStore{path.repair, path.dont_check_signatures}, list.text());
  std::cout << "added" << std::endl;
}

/// derivation DRV FILE: BuildDerivation of what the file says, a line each: "output NAME PATH ALGO
/// HASH", "source PATH", "platform X", "builder X", "arg X", "env NAME VALUE" (\n for a line end).
void derivation(Client& client, const Arguments& arguments) {
  client.handshake();
  wire::BuildDerivation request{parse(client.layout, arguments.at(0)), {}, {}, {}, {}, {}, {}, {}};
  std::istringstream lines(read_file(arguments.at(1)));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind;
    std::string first;
    std::getline(words, kind, ' ');
    std::string rest;
    std::getline(words, rest);
    for (std::size_t at = 0; (at = rest.find("\\n", at)) != std::string::npos; ++at)
      rest.replace(at, 2, "\n");
    if (kind == "output") {
      std::istringstream fields(rest);
      wire::BuildDerivation::Output output;
      fields >> output.name >> output.path >> output.hash_algorithm >> output.hash;
      request.outputs.push_back(output);
    } else if (kind == "source") {
      request.input_sources.insert(parse(client.layout, rest));
    } else if (kind == "platform") {
      request.platform = rest;
    } else if (kind == "builder") {
      request.builder = rest;
    } else if (kind == "arg") {
      request.arguments.push_back(rest);
    } else if (kind == "env") {
      const auto space = rest.find(' ');
      request.environment.emplace_back(rest.substr(0, space), rest.substr(space + 1));
    }
  }
  client.send(request);
  client.finish();
  const auto result = wire::OneBuildResult::decode(client.reader, client.version()).result;
  std::cout << (result.succeeded() ? "built" : "failed: " + result.error) << std::endl;
  if (!result.succeeded()) std::exit(1);
}

/// targets MODE TARGET…: BuildPaths, the targets as they are; MODE is the number.
void targets(Client& client, const Arguments& arguments) {
  client.handshake();
  client.writer.u64(static_cast<std::uint64_t>(wire::Op::build_paths));
  client.writer.strings({arguments.begin() + 1, arguments.end()});
  client.writer.u64(std::stoull(arguments.at(0)));
  client.finish();
  std::cout << "built" << std::endl;
}

/// options DRV NAME=VALUE…: SetOptions, then a build on the same connection.
void options(Client& client, const Arguments& arguments) {
  client.handshake();
  wire::SetOptions request;
  request.verbosity = 3;
  request.max_build_jobs = 1;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const auto equals = arguments[i].find('=');
    request.overrides.emplace_back(arguments[i].substr(0, equals), arguments[i].substr(equals + 1));
  }
  client.send(request);
  client.finish();
  client.send(wire::BuildPaths{{{parse(client.layout, arguments.at(0)), true, {}}}});
  client.finish();
  std::cout << "built" << std::endl;
}

/// never OPERATION PATH: one that no build may ask, by its name.
void never(Client& client, const Arguments& arguments) {
  client.handshake();
  const auto path = parse(client.layout, arguments.at(1));
  const auto& name = arguments.at(0);
  if (name == "CollectGarbage") client.send(wire::CollectGarbage{3, {path}, true, ~0ull});
  if (name == "FindRoots") client.send(wire::FindRoots{});
  if (name == "AddPermRoot") client.send(wire::AddPermRoot{path, "/nix/var/nix/gcroots/mine"});
  if (name == "AddSignatures") client.send(wire::AddSignatures{path, {"invented-1:AAAA"}});
  if (name == "VerifyStore") client.send(wire::VerifyStore{true, true});
  if (name == "OptimiseStore") client.send(wire::OptimiseStore{});
  if (name == "RegisterDrvOutput") client.send(wire::RegisterDrvOutput{"{}"});
  if (name == "ImportPaths") client.send(wire::ImportPaths{});
  if (name == "AddBuildLog")
    client.upload(wire::AddBuildLog{path.base()}, "a log");
  else
    client.finish();
  std::cout << "done" << std::endl;
}

/// text NAME FILE [REFERENCE…]: AddTextToStore.
void text(Client& client, const Arguments& arguments) {
  client.handshake();
  wire::AddTextToStore request{arguments.at(0), read_file(arguments.at(1)), {}};
  for (std::size_t i = 2; i < arguments.size(); ++i)
    request.references.insert(parse(client.layout, arguments[i]));
  client.send(request);
  client.finish();
  std::cout << client.layout.print(client.reader.path()) << std::endl;
}

/// source NAME METHOD FILE [REFERENCE…]: AddToStore.
void source(Client& client, const Arguments& arguments) {
  client.handshake();
  wire::AddToStore request{arguments.at(0), arguments.at(1), {}, false};
  for (std::size_t i = 3; i < arguments.size(); ++i)
    request.references.insert(parse(client.layout, arguments[i]));
  client.upload(request, read_file(arguments.at(2)));
  std::cout << client.layout.print(client.reader.path()) << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  return airlock::tests::run_command(argc, argv,
                                     {{"nar", nar},
                                      {"multiple", multiple},
                                      {"derivation", derivation},
                                      {"targets", targets},
                                      {"options", options},
                                      {"never", never},
                                      {"text", text},
                                      {"source", source}});
}
