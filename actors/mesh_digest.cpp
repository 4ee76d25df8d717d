#include "actors/mesh_digest.hpp"

#include <bit>
#include <cstring>

namespace tessera {

namespace {

class digester {
public:
  template <class T>
  void add(const std::vector<T>& items) {
    const auto* p = reinterpret_cast<const std::byte*>(items.data());
    auto n = items.size() * sizeof(T);
    word(n);
    for (; n >= 8; p += 8, n -= 8) {
      uint64_t w;
      std::memcpy(&w, p, 8);
      word(w);
    }
    if (n > 0) {
      uint64_t w = 0;
      std::memcpy(&w, p, n);
      word(w);
    }
  }
  [[nodiscard]] mesh_digest get() const { return {a_ ^ (a_ >> 31), b_ ^ (b_ >> 29)}; }

private:
  void word(uint64_t w) {
    a_ = std::rotl((a_ ^ w) * 0x9e3779b97f4a7c15u, 27);
    b_ = std::rotl((b_ + w) * 0xc2b2ae3d27d4eb4fu, 31) ^ a_;
  }
  uint64_t a_ = 0x243f6a8885a308d3u, b_ = 0x13198a2e03707344u; // digits of pi
};

} // namespace

mesh_digest digest_of(const mesh& surface) {
  digester d;
  d.add(surface.positions);
  d.add(surface.normals);
  d.add(surface.colours);
  d.add(surface.keys);
  d.add(surface.indices);
  return d.get();
}

} // namespace tessera
