#include "daemon/fetch/conversation.hpp"

#include <catch2/catch.hpp>

using namespace airlock;
using namespace airlock::fetch;

namespace {

const StoreLayout layout;

Request there_and_back(const Request& request) {
  StringSink sink;
  wire::Writer writer(sink, layout);
  request.encode(writer);
  StringSource source(sink.text());
  wire::Reader reader(source, layout, {});
  return Request::decode(reader);
}

}  // namespace

TEST_CASE("a request comes back as it was") {
  const Request request{{Kind::git, "https://h/r", std::string(40, '0')}, Form::archive};
  const auto back = there_and_back(request);
  CHECK(back.origin == request.origin);
  CHECK(back.form == request.form);
}

TEST_CASE("what airlockd would never ask for is not taken, whoever sends it") {
  for (const auto& origin :
       {Origin{Kind::git, "https://h/r", "--upload-pack=x"},
        Origin{Kind::git, "ext::sh", std::string(40, '0')}, Origin{Kind::file, "gopher://h/a", ""},
        Origin{Kind::file, "https://h/a\n", ""}, Origin{Kind::folder, "path:relative", ""},
        Origin{static_cast<Kind>(9), "https://h/a", ""}}) {
    INFO(origin.url);
    CHECK_THROWS_AS(there_and_back({origin, Form::archive}), ConnectionOver);
  }
  CHECK_THROWS_AS(there_and_back({{Kind::tarball, "https://h/a", ""}, Form::flat}), ConnectionOver);
}
