#include "net/formats/sound_triangles.hpp"

#include "net/formats/flat_triangles.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <tuple>
#include <utility>

namespace tessera {

namespace {

/// The first vertex in the place of each, by vertex; empty if no two are in one place.
template <class T>
std::vector<uint32_t> first_in_place(const std::vector<T>& places) {
  const auto vertices = static_cast<uint32_t>(places.size() / 3);
  constexpr uint32_t none = UINT32_MAX;
  std::vector<uint32_t> table(std::bit_ceil(size_t{2} * vertices + 1), none), out(vertices);
  const auto mask = table.size() - 1;
  bool any = false;
  for (uint32_t v = 0; v < vertices; ++v) {
    const auto* p = &places[3 * size_t{v}];
    uint64_t hash = 0;
    for (size_t i = 0; i < 3; ++i) {
      const T x = p[i] + T{0}; // -0 is 0
      hash = (hash ^ std::bit_cast<uint32_t>(x)) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 29;
    }
    auto at = hash & mask;
    while (table[at] != none && !std::equal(p, p + 3, &places[3 * size_t{table[at]}]))
      at = (at + 1) & mask;
    if (table[at] == none)
      table[at] = v;
    out[v] = table[at];
    any |= out[v] != v;
  }
  if (!any)
    out.clear();
  return out;
}

/// Leaves one or none of triangles between the same three places.
template <class T>
void leave_out_coincident(const std::vector<T>& places, std::vector<uint32_t>& indices) {
  const auto first = first_in_place(places);
  if (first.empty())
    return;
  std::vector<bool> shared(first.size());
  for (uint32_t v = 0; v < first.size(); ++v)
    if (first[v] != v)
      shared[first[v]] = true;
  struct triangle {
    std::array<uint32_t, 3> corners; ///< by place, in order
    uint32_t at;
    bool turned; ///< it runs through them the other way
  };
  std::vector<triangle> some; // of which two may lie between the same places
  for (uint32_t t = 0; t < indices.size(); t += 3) {
    std::array<uint32_t, 3> c{first[indices[t]], first[indices[t + 1]], first[indices[t + 2]]};
    if (!shared[c[0]] && !shared[c[1]] && !shared[c[2]])
      continue;
    std::rotate(c.begin(), std::min_element(c.begin(), c.end()), c.end());
    const bool turned = c[1] > c[2];
    if (turned)
      std::swap(c[1], c[2]);
    some.push_back({c, t, turned});
  }
  std::sort(some.begin(), some.end(),
            [](const triangle& a, const triangle& b) { return std::tie(a.corners, a.at) < std::tie(b.corners, b.at); });
  bool any = false;
  for (size_t begin = 0, end = 0; begin < some.size(); begin = end) {
    std::ptrdiff_t one_way = 0;
    for (end = begin; end < some.size() && some[end].corners == some[begin].corners; ++end)
      one_way += some[end].turned ? -1 : 1;
    if (end - begin == 1)
      continue;
    any = true;
    bool kept = one_way == 0;
    for (auto i = begin; i < end; ++i)
      if (!kept && some[i].turned == (one_way < 0))
        kept = true;
      else
        indices[some[i].at] = UINT32_MAX;
  }
  if (!any)
    return;
  size_t written = 0;
  for (size_t t = 0; t < indices.size(); t += 3)
    if (indices[t] != UINT32_MAX) {
      std::copy_n(indices.begin() + static_cast<std::ptrdiff_t>(t), 3, indices.begin() + static_cast<std::ptrdiff_t>(written));
      written += 3;
    }
  indices.resize(written);
}

/// Numbers the vertices that triangles name, and gives all fans of a vertex but the first a vertex of their own, behind the
/// others.
mended_triangles with_single_fans(std::vector<uint32_t> indices, size_t vertices) {
  // The corners at each vertex.
  std::vector<uint32_t> begin(vertices + 1, 0), corners(indices.size());
  for (const auto v : indices)
    ++begin[v + 1];
  for (size_t v = 0; v < vertices; ++v)
    begin[v + 1] += begin[v];
  {
    auto to = begin;
    for (uint32_t c = 0; c < indices.size(); ++c)
      corners[to[indices[c]]++] = c;
  }
  const auto after = [](uint32_t c) { return c % 3 == 2 ? c - 2 : c + 1; };
  const auto before = [](uint32_t c) { return c % 3 == 0 ? c + 2 : c - 1; };
  mended_triangles out;
  std::vector<uint32_t> again;                         // vertices with a fan more
  std::vector<std::pair<uint32_t, uint32_t>> to_split; // corners, and which of `again` they go to
  struct wedge {                                       // a triangle's part of a fan: from an edge to the next
    uint32_t corner, from, to;
  };
  std::vector<wedge> left;
  std::vector<uint32_t> number(vertices);
  for (uint32_t v = 0; v < vertices; ++v) {
    if (begin[v] == begin[v + 1])
      continue;
    number[v] = static_cast<uint32_t>(out.from.size());
    out.from.push_back(v);
    left.clear();
    for (auto i = begin[v]; i < begin[v + 1]; ++i)
      left.push_back({corners[i], indices[after(corners[i])], indices[before(corners[i])]});
    // Takes a wedge, and what goes on from it at either end.
    for (bool is_first = true; !left.empty(); is_first = false) {
      if (!is_first)
        again.push_back(v);
      auto fan = left.back();
      const auto take = [&](size_t i) {
        if (!is_first)
          to_split.emplace_back(left[i].corner, static_cast<uint32_t>(again.size() - 1));
        left[i] = left.back();
        left.pop_back();
      };
      take(left.size() - 1);
      for (size_t i = 0; i < left.size();) {
        if (left[i].from == fan.to)
          fan.to = left[i].to;
        else if (left[i].to == fan.from)
          fan.from = left[i].from;
        else {
          ++i;
          continue;
        }
        take(i);
        i = 0;
      }
    }
  }
  for (auto& i : indices)
    i = number[i];
  const auto first_again = static_cast<uint32_t>(out.from.size());
  for (const auto& [corner, which] : to_split)
    indices[corner] = first_again + which;
  out.from.insert(out.from.end(), again.begin(), again.end());
  out.indices = std::move(indices);
  return out;
}

/// Numbers the vertices that triangles name.
mended_triangles with_named_vertices(std::vector<uint32_t> indices, size_t vertices) {
  std::vector<uint32_t> number(vertices, 0), from;
  for (const auto v : indices)
    number[v] = 1;
  for (uint32_t v = 0; v < vertices; ++v)
    if (number[v] != 0) {
      number[v] = static_cast<uint32_t>(from.size());
      from.push_back(v);
    }
  for (auto& i : indices)
    i = number[i];
  return {std::move(indices), std::move(from)};
}

template <class T>
mended_triangles sound(const std::vector<T>& places, std::vector<uint32_t> indices, fans touching) {
  mend_flat_triangles(places, indices);
  leave_out_coincident(places, indices);
  const auto vertices = places.size() / 3;
  return touching == fans::split ? with_single_fans(std::move(indices), vertices)
                                 : with_named_vertices(std::move(indices), vertices);
}

template <class T>
void take(std::vector<T>& values, size_t each, const std::vector<uint32_t>& from, size_t vertices) {
  if (values.size() != each * vertices)
    return; // a mesh may lack what its format does not show
  std::vector<T> out(each * from.size());
  for (size_t v = 0; v < from.size(); ++v)
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(each * from[v]), each,
                out.begin() + static_cast<std::ptrdiff_t>(each * v));
  values = std::move(out);
}

} // namespace

mended_triangles sound_triangles(const std::vector<int32_t>& places, std::vector<uint32_t> indices, fans touching) {
  return sound(places, std::move(indices), touching);
}

mended_triangles sound_triangles(const std::vector<float>& places, std::vector<uint32_t> indices, fans touching) {
  return sound(places, std::move(indices), touching);
}

void take_vertices(mesh& m, mended_triangles&& mended) {
  const auto vertices = m.positions.size() / 3;
  m.indices = std::move(mended.indices);
  take(m.positions, 3, mended.from, vertices);
  take(m.normals, 3, mended.from, vertices);
  take(m.colours, 3, mended.from, vertices);
  take(m.keys, 1, mended.from, vertices);
}

} // namespace tessera
