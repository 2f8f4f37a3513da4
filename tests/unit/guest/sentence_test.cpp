#include "daemon/guest/sentence.hpp"

#include <catch2/catch.hpp>

using airlock::guest::one_sentence;

TEST_CASE("an error is one line, whatever it was") {
  CHECK(one_sentence("") == "");
  CHECK(one_sentence("as it is: a, b; c") == "as it is: a, b; c");
  CHECK(one_sentence("one failed;\n       last lines:\n\n   two failed\n") ==
        "one failed; last lines; two failed");
  CHECK(one_sentence("\x1b[31;1merror:\x1b[0m no\r\nluck\a") == "error: no; luck");
  CHECK(one_sentence("ends in an escape\x1b[3") == "ends in an escape");
  CHECK(one_sentence("\n\n:\n") == "");
}
