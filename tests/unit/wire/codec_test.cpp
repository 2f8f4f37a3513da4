#include "daemon/wire/codec.hpp"

#include <rapidcheck.h>

#include <catch2/catch.hpp>

using namespace airlock;
using namespace airlock::wire;

namespace {

const StoreLayout layout;

std::string encoded(const std::function<void(Writer&)>& write) {
  StringSink sink;
  Writer writer(sink, layout);
  write(writer);
  return sink.text();
}

template <class Read>
auto decode(const std::string& bytes, const Read& read, Caps caps = {}) {
  StringSource source(bytes);
  Reader reader(source, layout, caps);
  return read(reader);
}

const std::string path_text = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-name";

}  // namespace

TEST_CASE("integers are little-endian words of eight bytes") {
  CHECK(encoded([](Writer& to) { to.u64(0x0102030405060708u); }) ==
        std::string("\x08\x07\x06\x05\x04\x03\x02\x01", 8));
  CHECK(decode(std::string("\x08\x07\x06\x05\x04\x03\x02\x01", 8),
               [](Reader& from) { return from.u64(); }) == 0x0102030405060708u);
}

TEST_CASE("strings are padded with zeros to eight bytes, and come back") {
  CHECK(encoded([](Writer& to) { to.string("abc"); }) ==
        std::string("\3\0\0\0\0\0\0\0abc\0\0\0\0\0", 16));
  rc::check("string round trip", [](const std::string& text) {
    const auto bytes = encoded([&](Writer& to) { to.string(text); });
    RC_ASSERT(bytes.size() % 8 == 0U);
    RC_ASSERT(decode(bytes, [](Reader& from) { return from.string(); }) == text);
  });
}

TEST_CASE("padding that is not zero is refused") {
  const std::string bytes("\3\0\0\0\0\0\0\0abc\0\0\0\0\1", 16);
  CHECK_THROWS_AS(decode(bytes, [](Reader& from) { return from.string(); }), ConnectionOver);
}

TEST_CASE("a claimed length over the cap is refused before a byte is read") {
  const auto bytes = encoded([](Writer& to) { to.u64(std::uint64_t{1} << 60); });
  CHECK_THROWS_WITH(decode(bytes, [](Reader& from) { return from.string(); }),
                    Catch::Contains("over the limit"));
  CHECK_THROWS_WITH(decode(bytes, [](Reader& from) { return from.strings(); }),
                    Catch::Contains("over the limit"));
}

TEST_CASE("a claimed length within the cap allocates only as its bytes arrive") {
  const auto bytes = encoded([](Writer& to) {
    to.u64(std::uint64_t{60} << 20);
    to.raw("few");
  });
  CHECK_THROWS_WITH(decode(bytes, [](Reader& from) { return from.string(); }),
                    Catch::Contains("ends too early"));
}

TEST_CASE("numbers that are 32 bits wide are range-checked") {
  const auto bytes = encoded([](Writer& to) { to.u64(std::uint64_t{1} << 32); });
  CHECK_THROWS_AS(decode(bytes, [](Reader& from) { return from.u32("a number"); }), ConnectionOver);
}

TEST_CASE("store paths are full paths of this store") {
  const auto good = encoded([](Writer& to) { to.string(path_text); });
  CHECK(layout.print(decode(good, [](Reader& from) { return from.path(); })) == path_text);
  for (const std::string bad : {"", "/etc/passwd", "/nix/store", "/nix/store/../etc/passwd",
                                "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-name/below",
                                "0123456789abcdfghijklmnpqrsvwxyz-name"}) {
    CAPTURE(bad);
    const auto bytes = encoded([&](Writer& to) { to.string(bad); });
    CHECK_THROWS_AS(decode(bytes, [](Reader& from) { return from.path(); }), ConnectionOver);
  }
}

TEST_CASE("every truncation of a list throws") {
  const auto bytes = encoded([](Writer& to) { to.strings({"one", "", "three and more"}); });
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_THROWS_AS(decode(bytes.substr(0, length), [](Reader& from) { return from.strings(); }),
                    ConnectionOver);
}

TEST_CASE("a request may take so much in all, however it is divided") {
  const auto bytes = encoded([](Writer& to) {
    for (int i = 0; i < 3; ++i) to.string(std::string(60, 'x'));
    to.u64(4);
  });
  StringSource source(bytes);
  Reader reader(source, layout, Caps{1000, 1000, 120});
  reader.begin();
  CHECK(reader.string().size() == 60);
  CHECK(reader.string().size() == 60);
  reader.begin();
  CHECK(reader.string().size() == 60);
  CHECK_THROWS_WITH(reader.count(), "a message takes more than 120 bytes of memory");
}

TEST_CASE("a framed stream gives back its bytes, whatever the pieces") {
  rc::check("framed round trip", [](const std::vector<std::string>& pieces) {
    std::string all;
    const auto bytes = encoded([&](Writer& to) {
      FramedSink frames(to);
      for (const auto& piece : pieces) {
        frames.write(piece);
        all += piece;
      }
      frames.finish();
    });
    StringSource source(bytes);
    Reader reader(source, layout, {});
    FramedSource frames(reader);
    std::string back(all.size(), '\0');
    frames.read({back.data(), back.size()});
    frames.drain(0);
    RC_ASSERT(back == all);
    RC_ASSERT(source.rest().empty());
  });
}

TEST_CASE("a framed stream that ends early says so, and can be drained before the next request") {
  const auto bytes = encoded([](Writer& to) {
    FramedSink frames(to);
    frames.write("four");
    frames.finish();
    to.u64(7);
  });
  StringSource source(bytes);
  Reader reader(source, layout, {});
  FramedSource frames(reader);
  char buffer[8];
  CHECK_THROWS_WITH(frames.read(buffer), Catch::Contains("ended before"));
  frames.drain(100);
  CHECK(reader.u64() == 7);
}

TEST_CASE("draining is bounded") {
  const auto bytes = encoded([](Writer& to) {
    FramedSink frames(to);
    frames.write(std::string(100'000, 'x'));
    frames.finish();
  });
  StringSource source(bytes);
  Reader reader(source, layout, {});
  FramedSource frames(reader);
  CHECK_THROWS_WITH(frames.drain(1000), Catch::Contains("more than"));
}
