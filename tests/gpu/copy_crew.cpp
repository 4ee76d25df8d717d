#include "gpu/host/copy_crew.hpp"

#include <catch2/catch.hpp>

#include <numeric>
#include <random>
#include <thread>

using namespace tessera;

TEST_CASE("a crew copies every byte and none beside them, for many at once") {
  const unsigned helpers = GENERATE(0u, 1u, 3u);
  copy_crew crew(helpers);
  std::vector<std::jthread> askers;
  std::vector<std::vector<uint8_t>> from(4), to(4);
  for (size_t a = 0; a < from.size(); ++a)
    askers.emplace_back([&crew, &from, &to, a] {
      std::mt19937 random(static_cast<unsigned>(a));
      for (const size_t bytes : {size_t{0}, size_t{1}, copy_crew::least_piece - 1, 2 * copy_crew::least_piece,
                                 5 * copy_crew::least_piece + 7, 16 * copy_crew::least_piece + 1}) {
        from[a].resize(bytes);
        std::generate(from[a].begin(), from[a].end(), [&random] { return static_cast<uint8_t>(random()); });
        to[a].assign(bytes + 2, 0x55);
        crew.copy(to[a].data() + 1, from[a].data(), bytes);
        if (to[a].front() != 0x55 || to[a].back() != 0x55 || !std::equal(from[a].begin(), from[a].end(), to[a].begin() + 1))
          to[a].clear();
      }
    });
  askers.clear(); // joins
  for (const auto& copied : to)
    CHECK(!copied.empty());
}
