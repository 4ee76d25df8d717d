#include "net/formats/colour_scale.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace tessera {

namespace {

constexpr std::array<ink, 11> red_to_blue{{{0x67, 0x00, 0x1f},
                                           {0xb2, 0x18, 0x2b},
                                           {0xd6, 0x60, 0x4d},
                                           {0xf4, 0xa5, 0x82},
                                           {0xfd, 0xdb, 0xc7},
                                           {0xf7, 0xf7, 0xf7},
                                           {0xd1, 0xe5, 0xf0},
                                           {0x92, 0xc5, 0xde},
                                           {0x43, 0x93, 0xc3},
                                           {0x21, 0x66, 0xac},
                                           {0x05, 0x30, 0x61}}};

constexpr std::array<ink, 10> viridis{{{0x44, 0x01, 0x54},
                                       {0x48, 0x28, 0x78},
                                       {0x3e, 0x49, 0x89},
                                       {0x31, 0x68, 0x8e},
                                       {0x26, 0x82, 0x8e},
                                       {0x1f, 0x9e, 0x89},
                                       {0x35, 0xb7, 0x79},
                                       {0x6e, 0xce, 0x58},
                                       {0xb5, 0xde, 0x2b},
                                       {0xfd, 0xe7, 0x25}}};

ink on(std::span<const ink> stops, float value) {
  const auto at = std::clamp(value, 0.f, 1.f) * static_cast<float>(stops.size() - 1);
  const auto low = std::min(static_cast<size_t>(at), stops.size() - 2);
  return between(stops[low], stops[low + 1], at - static_cast<float>(low));
}

} // namespace

ink diverging_colour(float value) {
  return on(red_to_blue, (value + 1) / 2);
}

ink rising_colour(float value) {
  return on(viridis, value);
}

} // namespace tessera
