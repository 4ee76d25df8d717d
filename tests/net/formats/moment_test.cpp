#include "net/formats/moment.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>

using namespace tessera;

namespace {

std::string fault(std::string_view text) {
  try {
    parse_moment(text);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "nothing was thrown";
}

} // namespace

TEST_CASE("a moment is RFC 3339's, or nanoseconds since 1970") {
  CHECK(parse_moment("0") == 0);
  CHECK(parse_moment("1764454500123456789") == 1'764'454'500'123'456'789);
  CHECK(parse_moment("18446744073709551615") == ~uint64_t{0});
  CHECK(parse_moment("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_moment("2025-11-29T22:15:00Z") == 1'764'454'500'000'000'000);
  CHECK(parse_moment("2025-11-29t22:15:00z") == 1'764'454'500'000'000'000);
  CHECK(parse_moment("2025-11-29 22:15:00Z") == 1'764'454'500'000'000'000);
  CHECK(parse_moment("2025-11-29T23:15:00.5+01:00") == 1'764'454'500'500'000'000);
  CHECK(parse_moment("2025-11-29T17:45:00.000000001-04:30") == 1'764'454'500'000'000'001);
  CHECK(parse_moment("2025-11-29T22:15:00.1234567899Z") == 1'764'454'500'123'456'789);
  CHECK(parse_moment("2024-02-29T00:00:00Z") == 1'709'164'800'000'000'000);
  CHECK(parse_moment("2016-12-31T23:59:60Z") == 1'483'228'800'000'000'000);
  CHECK(parse_moment("2554-07-21T23:34:32.999999999Z") == 18'446'744'072'999'999'999u);
}

TEST_CASE("what is no moment is told with the bound") {
  const std::string form
    = "is not a time, as 2026-11-29T22:15:00Z or 2026-11-29T23:15:00.5+01:00 (RFC 3339), or nanoseconds since 1970";
  for (const auto* odd : {"", " ", "yesterday", "-5", "1.5", "2025-11-29", "2025-11-29T22:15Z", "2025-11-29T22:15:00",
                          "2025-11-29T22:15:00.Z", "2025-11-29T22:15:00Zulu", "2025-11-29T22:15:00+1", "2025-11-29T22:15:00+0100",
                          "25-11-29T22:15:00Z", "2025-11-29T22:15:00Z ", "5s"}) {
    INFO(odd);
    CHECK(fault(odd) == form);
  }
  CHECK(fault(std::string_view{"2025\0", 5}) == form);
  CHECK(fault("18446744073709551616") == "is more than 18446744073709551615 ns");
  CHECK(fault("1969-12-31T23:59:59Z") == "its year is 1969, not 1970 to 2554");
  CHECK(fault("2025-13-01T00:00:00Z") == "its month is 13, not 1 to 12");
  CHECK(fault("2025-02-29T00:00:00Z") == "its day is 29, not 1 to 28");
  CHECK(fault("2025-01-01T24:00:00Z") == "its hour is 24, not 0 to 23");
  CHECK(fault("2025-01-01T00:60:00Z") == "its minute is 60, not 0 to 59");
  CHECK(fault("2025-01-01T00:00:61Z") == "its second is 61, not 0 to 60");
  CHECK(fault("2025-01-01T00:00:00+24:00") == "the hour of its offset is 24, not 0 to 23");
  CHECK(fault("1970-01-01T00:00:00+00:01") == "is not from 1970-01-01T00:00:00Z to 2554-07-21T23:34:32Z");
  CHECK(fault("2554-07-21T23:34:33Z") == "is not from 1970-01-01T00:00:00Z to 2554-07-21T23:34:32Z");
}
