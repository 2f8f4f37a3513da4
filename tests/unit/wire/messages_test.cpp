#include "daemon/wire/messages.hpp"

#include <catch2/catch.hpp>

#include "daemon/wire/log.hpp"

using namespace airlock;
using namespace airlock::wire;

namespace {

const StoreLayout layout;

StorePath path(const std::string& name) {
  return StorePath::parse(std::string(32, '0') + "-" + name).value();
}

template <class R>
std::string encode(const R& request) {
  StringSink sink;
  Writer to(sink, layout);
  request.encode(to, layout, newest);
  return sink.text();
}

/// Re-encoding what was decoded gives the same bytes; any cut of them throws.
template <class R>
void round_trip(const R& request) {
  const auto bytes = encode(request);
  StringSource source(bytes);
  Reader from(source, layout, {});
  CHECK(encode(R::decode(from, newest)) == bytes);
  CHECK(source.rest().empty());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    StringSource cut(std::string_view(bytes).substr(0, length));
    Reader reader(cut, layout, {});
    CHECK_THROWS_AS(R::decode(reader, newest), ConnectionOver);
  }
}

}  // namespace

TEST_CASE("operations decode to what they were encoded from") {
  const StorePathSet some{path("a"), path("b")};
  const Targets targets{
      {path("a"), false, {}}, {path("b.drv"), true, {}}, {path("c.drv"), true, {"dev", "out"}}};
  round_trip(IsValidPath{path("a")});
  round_trip(QuerySubstitutablePaths{some});
  round_trip(QueryPathFromHashPart{"00000000000000000000000000000000"});
  round_trip(QueryMissing{targets});
  round_trip(BuildPaths{targets, BuildMode::check});
  round_trip(AddToStore{"name", "fixed:r:sha256", some, true});
  round_trip(AddTextToStore{"name", "some text", some});
  round_trip(
      SetOptions{true, false, true, 3, 4, 5, 1, 6, 0, 0, 7, false, {{"key", "value"}, {"", ""}}});
  round_trip(CollectGarbage{2, some, true, 77});
  round_trip(QuerySubstitutablePathInfos{{{path("a"), ""}, {path("b"), "text:sha256:x"}}});
  round_trip(QueryValidPaths{some, true});
  round_trip(VerifyStore{true, false});
  round_trip(BuildDerivation{
      path("b.drv"), {{"out", "p", "a", "h"}}, some, "sys", "/bin/sh", {"-c"}, {{"k", "v"}}, 0});
  round_trip(AddSignatures{path("a"), {"key:sig"}});
  round_trip(AddToStoreNar{
      path("a"), {path("b.drv"), "00", some, 1, 2, true, {"s"}, "text:sha256:x"}, true, true});
  round_trip(AddMultipleToStore{true, false});
  round_trip(AddBuildLog{"x.drv"});
  round_trip(AddPermRoot{path("a"), "/link"});
}

TEST_CASE("targets that airlock does not take are refused") {
  const auto base = layout.print(path("x.drv"));
  for (const auto& bad : {base + "!out!dev", base + "!", base + "!,", base + "!a,,b",
                          layout.print(path("x")) + "!out", std::string("!out")}) {
    CAPTURE(bad);
    StringSink sink;
    Writer(sink, layout).string(bad);
    StringSource source(sink.text());
    Reader from(source, layout, {});
    CHECK_THROWS_AS(read_target(from), ConnectionOver);
  }
}

TEST_CASE("log messages decode to what they were encoded from") {
  const std::vector<LogMessage> messages{
      LogLine{"line\n"},
      StartActivity{1, 3, 105, "building", {std::string("x"), std::uint64_t{7}}, 9},
      StopActivity{1},
      ActivityResult{1, 101, {std::string("a log line")}},
      Last{},
      Error{0, "it failed", {"while", "doing"}}};
  for (const auto& message : messages) {
    StringSink first;
    Writer to(first, layout);
    write_log_message(to, message);
    StringSource source(first.text());
    Reader from(source, layout, {});
    StringSink second;
    Writer again(second, layout);
    write_log_message(again, read_log_message(from));
    CHECK(second.text() == first.text());
    CHECK(source.rest().empty());
  }
}

TEST_CASE("a build result loses what is the host's, and nothing else") {
  StringSink sink;
  Writer to(sink, layout);
  to.string(layout.print(path("x.drv")) + "!*");
  to.u64(2);  // already valid
  to.string("");
  to.u64(5);           // times built
  to.u64(1);           // not deterministic
  to.u64(1700000000);  // start
  to.u64(1700000001);  // stop
  to.u64(1);
  to.u64(123);  // user CPU time
  to.u64(0);
  to.u64(1);
  to.string("sha256:00!out");
  to.string(R"({"id":"sha256:00!out","outPath":")" + path("x").base() +
            R"(","signatures":["host-1:abc"],"dependentRealisations":{"sha256:11!out":"y"}})");
  StringSource source(sink.text());
  Reader from(source, layout, {});
  const auto result = read_build_result(from, {1, 38});
  CHECK(source.rest().empty());
  CHECK(result.succeeded());

  for (const auto version : {Version{1, 34}, Version{1, 37}}) {
    StringSink normal;
    Writer writer(normal, layout);
    write_build_result(writer, layout, result, version);
    StringSource back(normal.text());
    Reader reader(back, layout, {});
    CHECK(reader.string() == layout.print(path("x.drv")) + "!*");
    for (int i = 0; i < 1; ++i) CHECK(reader.u64() == 0);  // built
    CHECK(reader.string().empty());
    for (int i = 0; i < (version >= Version{1, 37} ? 6 : 4); ++i) CHECK(reader.u64() == 0);
    CHECK(reader.u64() == 1);
    CHECK(reader.string() == "sha256:00!out");
    const auto realisation = reader.string();
    CHECK(realisation.find("host-1") == std::string::npos);
    CHECK(realisation.find("sha256:11") == std::string::npos);
    CHECK(realisation.find(path("x").base()) != std::string::npos);
    CHECK(back.rest().empty());
  }
}
