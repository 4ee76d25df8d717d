#pragma once
// The marching cubes table (Lorensen and Cline 1987), derived instead of listed: on each face of the cell,
// the contour cuts off each run of inside corners on its own. Both cells at a face see the same corners and
// draw the same contour: no cracks. No triangle has a side within a face that is not part of the contour, or
// both cells could draw it: no edge of four triangles.

#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera::marching_cubes {

/// Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2). An edge is named 3 * (its lower corner) + axis, 0
/// to 23.
struct triangles_of_case {
  uint8_t count = 0;
  std::array<uint8_t, 15> edges{};
};

/// For each set of inside corners (bit c: corner c is inside), the triangles, counter-clockwise seen from
/// outside.
constexpr std::array<triangles_of_case, 256> make_table() {
  // The corners of each face, counter-clockwise seen from outside the cell.
  constexpr int faces[6][4] = {{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4}, {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}};
  std::array<triangles_of_case, 256> table{};
  for (int inside = 0; inside < 256; ++inside) {
    const auto in = [&](int corner) { return (inside >> corner & 1) != 0; };
    const auto edge = [](int p, int q) {
      const int low = p < q ? p : q, axis = (p ^ q) == 1 ? 0 : (p ^ q) == 2 ? 1 : 2;
      return 3 * low + axis;
    };
    int next[24];
    for (int& n : next)
      n = -1;
    for (const auto& face : faces)
      for (int i = 0; i < 4; ++i)
        if (in(face[i]) && !in(face[(i + 1) & 3])) { // the end of a run of inside corners
          int begin = i;
          while (in(face[(begin + 3) & 3]))
            begin = (begin + 3) & 3;
          next[edge(face[begin], face[(begin + 3) & 3])] = edge(face[i], face[(i + 1) & 3]);
        }
    auto& out = table[static_cast<size_t>(inside)];
    for (int start = 0; start < 24; ++start) {
      if (next[start] < 0)
        continue;
      int loop[12] = {}, length = 0;
      for (int at = start; next[at] >= 0;) {
        loop[length++] = at;
        const int to = next[at];
        next[at] = -1;
        at = to;
      }
      // A fan about the first vertex none of whose diagonals lies in a face; there is one for every loop.
      const auto is_in_a_face = [](int e, int f) {
        const int low_e = e / 3, high_e = low_e | 1 << e % 3, low_f = f / 3, high_f = low_f | 1 << f % 3;
        return (low_e & high_e & low_f & high_f) != 0 || (low_e | high_e | low_f | high_f) != 7;
      };
      int apex = 0;
      for (int i = 2; i + 1 < length;)
        if (is_in_a_face(loop[apex], loop[(apex + i) % length])) {
          ++apex;
          i = 2;
        } else
          ++i;
      for (int i = 1; i + 1 < length; ++i) {
        const int base = 3 * out.count++;
        out.edges[static_cast<size_t>(base)] = static_cast<uint8_t>(loop[apex]);
        out.edges[static_cast<size_t>(base + 1)] = static_cast<uint8_t>(loop[(apex + i) % length]);
        out.edges[static_cast<size_t>(base + 2)] = static_cast<uint8_t>(loop[(apex + i + 1) % length]);
      }
    }
  }
  return table;
}

inline constexpr std::array<triangles_of_case, 256> table = make_table();

} // namespace tessera::marching_cubes
