#include "net/formats/canvas.hpp"

#include "net/formats/lettering.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {

ink between(const ink& first, const ink& second, float share) {
  ink out{};
  for (size_t i = 0; i < 3; ++i) {
    const auto from = static_cast<float>(first[i]), to = static_cast<float>(second[i]);
    out[i] = static_cast<uint8_t>(std::clamp(from + (to - from) * share + 0.5f, 0.f, 255.f));
  }
  return out;
}

canvas::canvas(uint32_t width, uint32_t height, const ink& paper) : image_{width, height, {}} {
  image_.rgb.resize(size_t{3} * width * height);
  fill({0, 0, static_cast<int32_t>(width), static_cast<int32_t>(height)}, paper);
}

void canvas::blend(int32_t x, int32_t y, const ink& colour, float share) {
  if (x < 0 || y < 0 || x >= static_cast<int32_t>(image_.width) || y >= static_cast<int32_t>(image_.height))
    return;
  auto* at = image_.rgb.data() + 3 * (static_cast<size_t>(y) * image_.width + static_cast<size_t>(x));
  const auto mixed = share >= 1 ? colour : between({at[0], at[1], at[2]}, colour, share);
  std::copy(mixed.begin(), mixed.end(), at);
}

void canvas::fill(const pixel_box& box, const ink& colour) {
  for (int32_t y = box.top; y < box.bottom(); ++y)
    for (int32_t x = box.left; x < box.right(); ++x)
      put(x, y, colour);
}

void canvas::frame(const pixel_box& box, const ink& colour) {
  fill({box.left - 1, box.top - 1, box.width + 2, 1}, colour);
  fill({box.left - 1, box.bottom(), box.width + 2, 1}, colour);
  fill({box.left - 1, box.top, 1, box.height}, colour);
  fill({box.right(), box.top, 1, box.height}, colour);
}

void canvas::line(std::array<float, 2> from, std::array<float, 2> to, float width, const ink& colour, const pixel_box& within) {
  const float reach = width / 2 + 0.5f, dx = to[0] - from[0], dy = to[1] - from[1];
  const float square = std::max(dx * dx + dy * dy, 1e-12f);
  const auto first = [&](size_t i) { return static_cast<int32_t>(std::floor(std::min(from[i], to[i]) - reach)); };
  const auto last = [&](size_t i) { return static_cast<int32_t>(std::ceil(std::max(from[i], to[i]) + reach)); };
  for (int32_t y = std::max(first(1), within.top); y < std::min(last(1), within.bottom()); ++y)
    for (int32_t x = std::max(first(0), within.left); x < std::min(last(0), within.right()); ++x) {
      const float px = static_cast<float>(x) + 0.5f - from[0], py = static_cast<float>(y) + 0.5f - from[1];
      const float along = std::clamp((px * dx + py * dy) / square, 0.f, 1.f);
      const float share = reach - std::hypot(px - along * dx, py - along * dy);
      if (share > 0)
        blend(x, y, colour, std::min(share, 1.f));
    }
}

void canvas::text(int32_t x, int32_t base, std::string_view words, const ink& colour, align how) {
  x -= how == align::left ? 0 : how == align::right ? width_of(words) : width_of(words) / 2;
  for (const char c : words) {
    const auto& its = letter_of(c);
    for (size_t i = 0; i < its.rows.size(); ++i) {
      const auto digit = its.rows[i];
      const auto share = static_cast<float>(digit <= '9' ? digit - '0' : digit - 'a' + 10) / 15;
      const auto column = static_cast<int32_t>(i) % its.width, row = static_cast<int32_t>(i) / its.width;
      if (share > 0)
        blend(x + its.left + column, base - its.top + row, colour, share);
    }
    x += its.advance;
  }
}

} // namespace tessera
