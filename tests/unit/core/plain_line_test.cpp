// Text of other programs in one line that a terminal only shows.
#include "daemon/core/plain_line.hpp"

#include <catch2/catch.hpp>

using airlock::one_plain_line;

TEST_CASE("escape sequences are left out, whole") {
  CHECK(one_plain_line("\x1b[31;1merror:\x1b[0m it '\x1b[35;1mfailed\x1b[0m'") ==
        "error: it 'failed'");
  CHECK(one_plain_line("a\x1b[?25lb\x1b[3~c\x1b"
                       "7d") == "abcd");
  CHECK(one_plain_line("\x1b]8;;file:///x\x1b\\link\x1b]8;;\x07 end") == "link end");
}

TEST_CASE("an unfinished sequence hides no control character") {
  for (const auto* text : {"a\x1b", "a\x1b[", "a\x1b[31", "a\x1b]title", "a\x1b\x1b[31m"})
    CHECK(one_plain_line(text) == "a");
  CHECK(one_plain_line("a\x1b[\nb") == "a b");
  CHECK(one_plain_line("a\x1b]x\x1b[2Jb") == "ab");
}

TEST_CASE("control characters are spaces, one for a run, and the rest stays") {
  CHECK(one_plain_line("a\n\tb\r\n") == "a b ");
  CHECK(one_plain_line("\n\x7f"
                       "a") == "a");
  CHECK(one_plain_line("gr\xc3\xbcn") == "gr\xc3\xbcn");
}
