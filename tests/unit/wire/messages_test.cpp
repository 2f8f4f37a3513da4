#include "daemon/wire/messages.hpp"

#include <catch2/catch.hpp>

#include "daemon/wire/log.hpp"
#include "daemon/wire/upload.hpp"

using namespace airlock;
using namespace airlock::wire;

namespace {

const StoreLayout layout;

StorePath path(const std::string& name) {
  return StorePath::parse(std::string(32, '0') + "-" + name).value();
}

/// Every version there is; what a message holds must be what it can carry.
template <class Action>
void in_every_version(const Action& action, Version first = oldest) {
  for (auto version = first; version <= newest; ++version.minor) {
    CAPTURE(version.print());
    action(version);
  }
}

template <class Encode>
std::string bytes_of(const Encode& encode) {
  StringSink sink;
  Writer to(sink, layout);
  encode(to);
  return sink.text();
}

/// Re-encoding what was decoded gives the same bytes; any cut of them throws.
template <class T, class Encode>
void round_trip(Version version, const Encode& encode) {
  const auto bytes = bytes_of([&](Writer& to) { encode(to, std::optional<T>()); });
  StringSource source(bytes);
  Reader from(source, layout, {});
  const auto decoded = T::decode(from, version);
  CHECK(from.canonical());
  CHECK(source.rest().empty());
  CHECK(bytes_of([&](Writer& to) { encode(to, std::optional<T>(decoded)); }) == bytes);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    StringSource cut(std::string_view(bytes).substr(0, length));
    Reader reader(cut, layout, {});
    CHECK_THROWS_AS(T::decode(reader, version), ConnectionOver);
  }
}

template <class R>
void request(const R& sent, Version first = oldest) {
  in_every_version(
      [&](Version version) {
        round_trip<R>(version, [&](Writer& to, const std::optional<R>& decoded) {
          (decoded ? *decoded : sent).encode(to, layout, version);
        });
      },
      first);
}

template <class R>
void reply(const R& sent, Version first = oldest) {
  in_every_version(
      [&](Version version) {
        round_trip<R>(version, [&](Writer& to, const std::optional<R>& decoded) {
          (decoded ? *decoded : sent).encode(to, version);
        });
      },
      first);
}

const StorePathSet some{path("a"), path("b")};
const PathInfo info{path("b.drv"), "00", some, 1, 2, true, {"s"}, "text:sha256:x"};
const Targets targets{
    {path("a"), false, {}}, {path("b.drv"), true, {}}, {path("c.drv"), true, {"dev", "out"}}};

}  // namespace

TEST_CASE("operations decode to what they were encoded from, in every version") {
  request(IsValidPath{path("a")});
  request(QuerySubstitutablePaths{some});
  request(QueryPathFromHashPart{"00000000000000000000000000000000"});
  request(QueryMissing{targets});
  request(BuildPaths{targets, BuildMode::check});
  request(AddToStore{"name", "text:sha256", some, true}, since::content_addresses);
  request(AddToStore{"name", "fixed:r:sha256", {}, false});
  request(AddToStore{"name", "fixed:sha1", {}, false});
  request(AddTextToStore{"name", "some text", some});
  request(
      SetOptions{true, false, true, 3, 4, 5, 1, 6, 0, 0, 7, false, {{"key", "value"}, {"", ""}}});
  request(ExportPath{path("a")});
  request(CollectGarbage{2, some, true, 77});
  request(QuerySubstitutablePathInfos{{{path("a"), ""}, {path("b"), "text:sha256:x"}}});
  request(QueryValidPaths{some, true});
  request(VerifyStore{true, false});
  request(BuildDerivation{path("b.drv"),
                          {{"out", "p", "a", "h"}},
                          some,
                          "sys",
                          "/bin/sh",
                          {"-c"},
                          {{"k", "v"}},
                          BuildMode::repair});
  request(AddSignatures{path("a"), {"key:sig"}});
  request(AddToStoreNar{path("a"), info, true, true});
  request(AddMultipleToStore{true, false});
  request(RegisterDrvOutput{"sha256:00!out", "/nix/store/x"});
  request(AddBuildLog{"x.drv"});
  request(AddPermRoot{path("a"), "/link"});
}

TEST_CASE("replies decode to what they were encoded from, in every version") {
  reply(Done{});
  reply(Boolean{true});
  reply(Text{"text"});
  reply(Texts{{"a", ""}});
  reply(PathReply{path("a")});
  reply(MaybePath{});
  reply(MaybePath{path("a")});
  reply(Paths{some});
  reply(Roots{{{"{censored}", path("a")}, {"/link", path("b")}}});
  reply(Collected{{"/nix/store/junk"}, 9});
  reply(MaybeSubstitutable{});
  reply(MaybeSubstitutable{Substitutable{path("x.drv"), some, 1, 2}});
  reply(Substitutables{{{path("a"), {std::nullopt, some, 1, 2}}}});
  reply(MaybePathInfo{});
  reply(MaybePathInfo{info});
  reply(AddedPath{path("a"), info});
  reply(Missing{some, {}, some, 3, 4});
  reply(OutputMap{{{"dev", std::nullopt}, {"out", path("a")}}});
  const BuildResult result{BuildStatus::timed_out,   "late", 1, true, 5, 6, 7, std::nullopt,
                           {{"sha256:00!out", "{}"}}};
  reply(OneBuildResult{result});
  reply(BuildResults{{{{path("b.drv"), true, {}}, result}}}, since::build_results);
}

TEST_CASE("before protocol 1.30 a derivation without outputs means all of them") {
  const Version old{1, 29};
  StringSink sink;
  Writer to(sink, layout);
  to.string(layout.print(path("b.drv")));
  StringSource source(sink.text());
  Reader from(source, layout, {});
  CHECK(read_target(from, old) == Target{path("b.drv"), true, {}});
  StringSource again(sink.text());
  Reader now(again, layout, {});
  CHECK(read_target(now, newest) == Target{path("b.drv"), false, {}});
}

TEST_CASE("an old add is a recursive one by SHA-256 unless it says otherwise") {
  StringSink sink;
  Writer to(sink, layout);
  AddToStore{"name", "fixed:r:sha256", {}, false}.encode(to, layout, {1, 21});
  StringSource source(sink.text());
  Reader from(source, layout, {});
  CHECK(from.string() == "name");
  CHECK(from.u64() == 0);  // not fixed
  CHECK(from.u64() == 1);
  CHECK(from.string() == "sha256");
  CHECK(body_of<AddToStore>({1, 21}) == Body::archive);
  CHECK(body_of<AddToStore>({1, 25}) == Body::framed);
  CHECK(body_of<AddToStoreNar>({1, 20}) == Body::archive);
  CHECK(body_of<AddToStoreNar>({1, 22}) == Body::tunnelled);
  CHECK(body_of<AddToStoreNar>({1, 23}) == Body::framed);
}

TEST_CASE("an old add says recursive in one place only") {
  const auto wire = bytes_of([](Writer& to) {
    to.string("name");
    to.u64(1);
    to.u64(0);
    to.string("r:md5");
  });
  StringSource source(wire);
  Reader from(source, layout, {});
  CHECK_THROWS_AS(AddToStore::decode(from, {1, 21}), ConnectionOver);
}

TEST_CASE("in old protocols too all outputs of a dynamic derivation are written one way") {
  const auto text = layout.print(path("x.drv")) + "!out!*";
  const auto wire = bytes_of([&](Writer& to) { to.string(text); });
  StringSource source(wire);
  Reader from(source, layout, {});
  CHECK(print_target(layout, read_target(from, {1, 21})) == text);
  CHECK(from.canonical());
}

TEST_CASE("a derivation that is itself an output keeps the way that leads to it") {
  const auto text = layout.print(path("x.drv")) + "!out!dev,lib";
  StringSink sink;
  Writer(sink, layout).string(text);
  StringSource source(sink.text());
  Reader from(source, layout, {});
  const auto target = read_target(from, newest);
  CHECK(target == Target{path("x.drv"), true, {"dev", "lib"}, {"out"}});
  CHECK(print_target(layout, target) == text);
}

TEST_CASE("targets that mean nothing are refused") {
  const auto base = layout.print(path("x.drv"));
  for (const auto& bad :
       {base + "!", base + "!,", base + "!a,,b", base + "!!out", base + "!*!out", base + "!a,b!out",
        base + "!*,*", base + "!*,out", layout.print(path("x")) + "!out", std::string("!out")}) {
    CAPTURE(bad);
    StringSink sink;
    Writer(sink, layout).string(bad);
    StringSource source(sink.text());
    Reader from(source, layout, {});
    CHECK_THROWS_AS(read_target(from, newest), ConnectionOver);
  }
}

TEST_CASE("what a target falls into takes memory of its own") {
  // Of every few bytes a string of its own is made.
  const auto long_target = [](char separator) {
    auto text = layout.print(path("x.drv")) + "!a";
    for (int i = 0; i < 10'000; ++i) text += separator + std::to_string(i);
    return text + "!out";
  };
  for (const char separator : {'!', ','}) {
    CAPTURE(separator);
    const auto wire = bytes_of([&](Writer& to) {
      to.u64(10);
      for (int i = 0; i < 10; ++i)
        to.string(separator == '!' ? long_target('!')
                                   : long_target(',').substr(0, long_target(',').size() - 4));
      to.u64(0);
    });
    StringSource source(wire);
    Caps caps;
    caps.message_bytes = 4 * wire.size();
    Reader from(source, layout, caps);
    CHECK_THROWS_WITH(BuildPaths::decode(from, newest).targets.size(),
                      Catch::Contains("bytes of memory"));
  }
}

TEST_CASE("what is not in Nix's own form is noticed, and written in it") {
  const auto wire = bytes_of([](Writer& to) {
    to.u64(2);
    to.path(path("b"));
    to.path(path("a"));
    to.u64(7);
  });
  StringSource source(wire);
  Reader from(source, layout, {});
  const auto request = QueryValidPaths::decode(from, newest);
  CHECK_FALSE(from.canonical());
  CHECK(request.paths == some);
  CHECK(request.substitute);
  CHECK(bytes_of([&](Writer& to) { request.encode(to, layout, newest); }) ==
        bytes_of([&](Writer& to) {
          QueryValidPaths{some, true}.encode(to, layout, newest);
        }));
}

TEST_CASE("log messages decode to what they were encoded from, in every version") {
  const std::vector<LogMessage> messages{
      LogLine{"line\n"},
      StartActivity{1, 3, 105, "building", {std::string("x"), std::uint64_t{7}}, 9},
      StopActivity{1},
      ActivityResult{1, 101, {std::string("a log line")}},
      Last{},
      Error{0, "it failed", {"while", "doing"}, 100},
      ReadRequest{512},
      WriteData{"bytes"}};
  in_every_version([&](Version version) {
    for (const auto& message : messages) {
      const auto first = bytes_of([&](Writer& to) { write_log_message(to, message, version); });
      StringSource source(first);
      Reader from(source, layout, {});
      const auto decoded = read_log_message(from, version);
      CHECK(decoded.index() == message.index());
      CHECK(bytes_of([&](Writer& to) { write_log_message(to, decoded, version); }) == first);
      CHECK(source.rest().empty());
    }
  });
}

TEST_CASE("uploads of all kinds give their content and leave the connection in order") {
  const auto nar = bytes_of([](Writer& to) {
    for (const auto* text : {"nix-archive-1", "(", "type", "regular", "contents", "hello", ")"})
      to.string(text);
  });
  const auto read_all = [&](Body kind, const std::string& wire, Version version) {
    const auto bytes = wire + "next";
    StringSource source(bytes);
    Reader from(source, layout, {});
    StringSink asked;
    Writer to(asked, layout);
    const auto upload = open_upload(kind, from, to, version);
    std::string content(nar.size(), '\0');
    upload->read(content);
    upload->drain(1000);
    CHECK(content == nar);
    CHECK(source.rest() == "next");
    return asked.text();
  };
  const auto framed = bytes_of([&](Writer& to) {
    FramedSink frames(to);
    frames.write(nar);
    frames.finish();
  });
  CHECK(read_all(Body::framed, framed, newest).empty());
  CHECK(read_all(Body::archive, nar, {1, 20}).empty());
  // It is asked for in pieces, and no more often than there are any.
  const auto pieces = bytes_of([&](Writer& to) {
    to.string(std::string_view(nar).substr(0, 10));
    to.string(std::string_view(nar).substr(10));
  });
  const auto asked = read_all(Body::tunnelled, pieces, {1, 21});
  const auto once = bytes_of([](Writer& to) {
    write_log_message(to, ReadRequest{64 * 1024}, {1, 21});
  });
  CHECK(asked == once + once);

  // One that is not wanted is read away.
  const auto bytes = nar + "next";
  StringSource source(bytes);
  Reader from(source, layout, {});
  StringSink nowhere;
  Writer to(nowhere, layout);
  open_upload(Body::archive, from, to, {1, 20})->drain(1000);
  CHECK(source.rest() == "next");
}

TEST_CASE("an upload in pieces may be larger than the request that it belongs to") {
  constexpr std::uint64_t most = 1000;
  const std::string piece(600, 'x');
  const auto bytes = bytes_of([&](Writer& to) {
    for (int i = 0; i < 5; ++i) to.string(piece);
  });
  StringSource source(bytes);
  Reader from(source, layout, {most, most, most});
  StringSink asked;
  Writer to(asked, layout);
  const auto upload = open_upload(Body::tunnelled, from, to, {1, 22});
  std::string content(5 * piece.size(), '\0');
  REQUIRE_NOTHROW(upload->read(content));
  CHECK((content == std::string(content.size(), 'x')));
}

TEST_CASE("a build result loses what is the host's, and nothing else") {
  const BuildResult daemons{
      BuildStatus::already_valid,
      "",
      5,
      true,
      1700000000,
      1700000001,
      123,
      std::nullopt,
      {{"sha256:00!out",
        R"({"id":"sha256:00!out","outPath":")" + path("x").base() +
            R"(","signatures":["host-1:abc"],"dependentRealisations":{"y":"z"}})"}}};
  const auto normal = normalised(daemons, layout);
  CHECK(normal.succeeded());
  CHECK(normal.status == BuildStatus::built);
  CHECK(normal.times_built == 0);
  CHECK_FALSE(normal.not_deterministic);
  CHECK(normal.start_time == 0);
  CHECK(normal.stop_time == 0);
  CHECK_FALSE(normal.cpu_user);
  REQUIRE(normal.built_outputs.size() == 1);
  CHECK(normal.built_outputs[0].first == "sha256:00!out");
  const auto& realisation = normal.built_outputs[0].second;
  CHECK(realisation.find("host-1") == std::string::npos);
  CHECK(realisation.find("\"z\"") == std::string::npos);
  CHECK(realisation.find(path("x").base()) != std::string::npos);
  for (const auto* bad : {"", "[]", "{}", R"({"outPath":3})", R"({"outPath":"../x"})"})
    CHECK_THROWS_AS(
        normalised({BuildStatus::built, "", 0, false, 0, 0, {}, {}, {{"id", bad}}}, layout),
        ConnectionOver);
}
