#include "net/formats/flat_triangles.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace tessera {

namespace {

double squared(const std::array<double, 3>& v) {
  return v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
}

std::array<double, 3> way(const auto& places, uint32_t from, uint32_t to) {
  std::array<double, 3> out{};
  for (size_t i = 0; i < 3; ++i)
    out[i] = static_cast<double>(places[3 * size_t{to} + i]) - static_cast<double>(places[3 * size_t{from} + i]);
  return out;
}

/// Whole numbers tell exactly what is flat.
struct on_a_grid {
  const std::vector<int32_t>& places;
  static constexpr double together = 0; ///< corners whose distance, squared, is no more are in one place

  [[nodiscard]] bool is_flat(uint32_t a, uint32_t b, uint32_t c) const {
    const auto *p = &places[3 * size_t{a}], *q = &places[3 * size_t{b}], *r = &places[3 * size_t{c}];
    const int64_t ux = int64_t{q[0]} - p[0], uy = int64_t{q[1]} - p[1], uz = int64_t{q[2]} - p[2];
    const int64_t vx = int64_t{r[0]} - p[0], vy = int64_t{r[1]} - p[1], vz = int64_t{r[2]} - p[2];
    return uy * vz == uz * vy && uz * vx == ux * vz && ux * vy == uy * vx;
  }
};

/// Floats know no height below the step between those near the largest.
struct in_floats {
  const std::vector<float>& places;
  double together;

  explicit in_floats(const std::vector<float>& all) : places(all), together(0) {
    double largest = 0;
    for (const auto x : places)
      largest = std::max(largest, std::abs(static_cast<double>(x)));
    const auto step = largest * 0x1p-24;
    together = step * step;
  }
  [[nodiscard]] bool is_flat(uint32_t a, uint32_t b, uint32_t c) const {
    const auto u = way(places, a, b), v = way(places, a, c);
    const auto longest = std::max({squared(u), squared(v), squared(way(places, b, c))});
    const auto area
      = squared({u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]}); // twice, squared
    // Twice the area is the longest side times the height over it.
    return !(area > longest * together);
  }
};

/// Mends around flat triangles alone: there are few, and only what touches them is looked at.
template <class Vertices>
class mender {
public:
  mender(const Vertices& vertices, std::vector<uint32_t>& indices) : vertices_(vertices), indices_(indices) {
    for (uint32_t t = 0; t < indices_.size(); t += 3)
      if (is_flat(t))
        flat_.push_back(t);
  }

  void mend() {
    if (flat_.empty())
      return;
    for (const auto t : flat_)
      if (corner(t, 0) == corner(t, 1) || corner(t, 1) == corner(t, 2) || corner(t, 2) == corner(t, 0))
        leave_out(t);
    find_neighbours();
    // What one change forbids the next may allow.
    constexpr int most_rounds = 3;
    for (int round = 0; round < most_rounds; ++round) {
      bool changed = false;
      for (const auto t : flat_)
        changed |= collapse(t);
      for (const auto t : flat_)
        changed |= turn_over(t);
      if (!changed)
        break;
    }
    for (const auto t : flat_)
      if (is_flat(t))
        leave_out(t);
    size_t written = 0;
    for (uint32_t t = 0; t < indices_.size(); t += 3)
      if (!is_gone(t)) {
        std::copy_n(indices_.begin() + t, 3, indices_.begin() + static_cast<std::ptrdiff_t>(written));
        written += 3;
      }
    indices_.resize(written);
  }

private:
  /// Triangles are named by where they start in the indices.
  using triangles = std::vector<uint32_t>;
  /// Vertices around one, each with the number of triangles that it shares with it.
  using ring = std::vector<std::pair<uint32_t, int>>;

  [[nodiscard]] uint32_t corner(uint32_t t, uint32_t k) const { return indices_[t + k % 3]; }
  [[nodiscard]] bool is_gone(uint32_t t) const { return corner(t, 0) == corner(t, 1) && corner(t, 1) == corner(t, 2); }
  void leave_out(uint32_t t) { indices_[t + 1] = indices_[t + 2] = indices_[t]; }

  [[nodiscard]] bool is_flat(uint32_t a, uint32_t b, uint32_t c) const {
    return a == b || b == c || c == a || vertices_.is_flat(a, b, c);
  }
  [[nodiscard]] bool is_flat(uint32_t t) const { return is_flat(corner(t, 0), corner(t, 1), corner(t, 2)); }

  [[nodiscard]] double squared_distance(uint32_t a, uint32_t b) const { return squared(way(vertices_.places, a, b)); }

  void find_neighbours() {
    slot_.assign(vertices_.places.size() / 3, 0);
    uint32_t slots = 0;
    for (const auto t : flat_)
      for (uint32_t k = 0; k < 3; ++k)
        if (auto& slot = slot_[corner(t, k)]; slot == 0)
          slot = ++slots;
    around_.resize(size_t{slots} + 1);
    for (auto& all : around_)
      all.reserve(16);
    for (uint32_t t = 0; t < indices_.size(); t += 3)
      for (uint32_t k = 0; k < 3; ++k)
        if (const auto slot = slot_[corner(t, k)]; slot != 0)
          around_[slot].push_back(t);
  }
  /// The triangles at a vertex, if it is a corner of a flat one; else of no use.
  triangles& around(uint32_t v) { return around_[slot_[v]]; }

  ring ring_of(uint32_t v) {
    ring out;
    out.reserve(16); // surfaces have six or so
    for (const auto t : around(v))
      for (uint32_t k = 0; k < 3; ++k)
        if (const auto w = corner(t, k); w != v && !is_gone(t)) {
          const auto at = std::find_if(out.begin(), out.end(), [w](const auto& x) { return x.first == w; });
          if (at == out.end())
            out.emplace_back(w, 1);
          else
            ++at->second;
        }
    return out;
  }

  /// Joins corners of a triangle that are in one place.
  bool collapse(uint32_t t) {
    bool changed = false;
    for (uint32_t k = 0; k < 3; ++k) {
      const auto a = corner(t, k), b = corner(t, k + 1);
      if (a != b && squared_distance(a, b) <= vertices_.together && may_join(a, b)) {
        join(a, b);
        changed = true;
      }
    }
    return changed;
  }

  /// Two ends of an edge may become one if they have no neighbours in common but those across the edge, and are not two places of
  /// the rim that would be pinched together.
  bool may_join(uint32_t a, uint32_t b) {
    const auto at_a = ring_of(a), at_b = ring_of(b);
    const auto shared_with = [](const ring& r, uint32_t v) {
      const auto at = std::find_if(r.begin(), r.end(), [v](const auto& x) { return x.first == v; });
      return at == r.end() ? 0 : at->second;
    };
    const auto is_rim
      = [](const ring& r) { return std::any_of(r.begin(), r.end(), [](const auto& x) { return x.second != 2; }); };
    const auto shared = shared_with(at_a, b);
    const auto common = std::count_if(at_a.begin(), at_a.end(), [&](const auto& x) { return shared_with(at_b, x.first) != 0; });
    return (shared == 1 || shared == 2) && common == shared && !(shared == 2 && is_rim(at_a) && is_rim(at_b)) && !flattens(a, b);
  }

  /// Whether a triangle of b alone that has an area would have none with a in its place, which may be a little away.
  bool flattens(uint32_t a, uint32_t b) {
    const auto& all = around(b);
    return vertices_.together > 0 && std::any_of(all.begin(), all.end(), [&](uint32_t t) {
             std::array<uint32_t, 3> c{corner(t, 0), corner(t, 1), corner(t, 2)};
             if (std::find(c.begin(), c.end(), a) != c.end() || is_flat(t))
               return false;
             std::replace(c.begin(), c.end(), b, a);
             return is_flat(c[0], c[1], c[2]);
           });
  }

  void join(uint32_t a, uint32_t b) {
    for (const auto t : around(b)) {
      std::replace(indices_.begin() + t, indices_.begin() + t + 3, b, a);
      if (corner(t, 0) == corner(t, 1) || corner(t, 1) == corner(t, 2) || corner(t, 2) == corner(t, 0))
        leave_out(t);
      else if (const auto same = between(t); same != t) { // a bubble of which no more is left than its two sides
        leave_out(same);
        leave_out(t);
      } else
        around(a).push_back(t);
    }
    around(b).clear();
    std::erase_if(around(a), [this](uint32_t t) { return is_gone(t); });
  }

  /// The triangle at a corner of `t` that has the same three, or `t`.
  uint32_t between(uint32_t t) {
    const auto corners_of = [this](uint32_t of) {
      std::array<uint32_t, 3> c{corner(of, 0), corner(of, 1), corner(of, 2)};
      std::sort(c.begin(), c.end());
      return c;
    };
    for (uint32_t k = 0; k < 3; ++k)
      if (const auto v = corner(t, k); slot_[v] != 0)
        for (const auto other : around(v))
          if (other != t && !is_gone(other) && corners_of(other) == corners_of(t))
            return other;
    return t;
  }

  /// Of a triangle a b c with b between the others and the one beyond, c a d, makes a b d and b c d.
  bool turn_over(uint32_t t) {
    if (is_gone(t) || !is_flat(t))
      return false;
    uint32_t k = 0;
    double longest = 0;
    for (uint32_t i = 0; i < 3; ++i) {
      const auto side = squared_distance(corner(t, i), corner(t, i + 1));
      if (side <= vertices_.together)
        return false;
      if (side > longest) {
        longest = side;
        k = i;
      }
    }
    const auto c = corner(t, k), a = corner(t, k + 1), b = corner(t, k + 2);
    const auto beyond = [&](uint32_t n) { // its third corner, if it has the edge a c
      for (uint32_t i = 0; i < 3; ++i)
        if (corner(n, i) == a && corner(n, i + 1) == c)
          return corner(n, i + 2);
      return b;
    };
    const auto& near = around(c);
    const auto at = std::find_if(near.begin(), near.end(), [&](uint32_t n) { return n != t && beyond(n) != b; });
    if (at == near.end())
      return false;
    const auto n = *at, d = beyond(n);
    const auto at_b = ring_of(b);
    if (std::any_of(at_b.begin(), at_b.end(), [d](const auto& x) { return x.first == d; }) || is_flat(a, b, d)
        || is_flat(b, c, d))
      return false;
    write(t, a, b, d, c);
    write(n, b, c, d, a);
    return true;
  }

  /// Makes `t` a triangle of x, y and z that was one of `old`, too.
  void write(uint32_t t, uint32_t x, uint32_t y, uint32_t z, uint32_t old) {
    std::erase(around(old), t);
    indices_[t] = x;
    indices_[t + 1] = y;
    indices_[t + 2] = z;
    for (const auto v : {x, y, z})
      if (auto& all = around(v); std::find(all.begin(), all.end(), t) == all.end())
        all.push_back(t);
  }

  const Vertices& vertices_;
  std::vector<uint32_t>& indices_;
  triangles flat_;
  std::vector<uint32_t> slot_; ///< of a vertex in `around_`; 0: it is no corner of a flat triangle
  std::vector<triangles> around_;
};

} // namespace

void mend_flat_triangles(const std::vector<int32_t>& places, std::vector<uint32_t>& indices) {
  mender(on_a_grid{places}, indices).mend();
}

void mend_flat_triangles(const std::vector<float>& places, std::vector<uint32_t>& indices) {
  mender(in_floats(places), indices).mend();
}

} // namespace tessera
