// The signs and observations of voxels as bits, which finding a surface reads instead of the sums.

#include "gpu/cpu/clones.hpp"
#include "gpu/cpu/region_field.hpp"
#include "gpu/shared/voxel.hpp"

#include <algorithm>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tessera::cpu {

namespace {

/// Signs and observations of a row of eight voxels, as bits.
inline void read_row(const block::front* row, uint8_t& inside, uint8_t& observed) {
  unsigned negative = 0, seen = 0;
#if defined(__SSE2__)
  const auto* words = reinterpret_cast<const __m128i*>(row); // one voxel's words 0 and 1 each
  for (int x = 0; x < 8; x += 4) {
    const __m128i p = _mm_unpacklo_epi64(_mm_load_si128(words + x), _mm_load_si128(words + x + 1));
    const __m128i q = _mm_unpacklo_epi64(_mm_load_si128(words + x + 2), _mm_load_si128(words + x + 3));
    const __m128 low = _mm_shuffle_ps(_mm_castsi128_ps(p), _mm_castsi128_ps(q), _MM_SHUFFLE(2, 0, 2, 0));
    const __m128 high = _mm_shuffle_ps(_mm_castsi128_ps(p), _mm_castsi128_ps(q), _MM_SHUFFLE(3, 1, 3, 1));
    const __m128i none = _mm_cmpeq_epi32(_mm_slli_epi32(_mm_castps_si128(low), 8), _mm_setzero_si128());
    negative |= static_cast<unsigned>(_mm_movemask_ps(high)) << x;
    seen |= (static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(none))) ^ 15u) << x;
  }
#else
  for (unsigned x = 0; x < 8; ++x) {
    negative |= static_cast<unsigned>(row[x].w0 >> 63) << x;
    seen |= static_cast<unsigned>(sample_count(row[x].w0) != 0) << x;
  }
#endif
  inside = static_cast<uint8_t>(negative);
  observed = static_cast<uint8_t>(seen);
}

} // namespace

TESSERA_CLONES void region_field::update_signs() {
  const auto next_change = [this](size_t from) {
    return static_cast<size_t>(
      std::find_if(changes_.begin() + static_cast<std::ptrdiff_t>(from), changes_.end(), [](block_changes is) { return is != 0; })
      - changes_.begin());
  };
  for (size_t s = next_change(0); s < changes_.size();) {
    const size_t next = next_change(s + 1);
    if (next < field_.size() && field_[next]) // its words 0 and 1 are on their way while this one is worked on
      for (size_t voxel = 0; voxel < 512; voxel += 4)
        __builtin_prefetch(&field_[next]->w01[voxel]);
    if (field_[s])
      for (size_t row = 0; row < 64; ++row)
        read_row(&field_[s]->w01[row << 3], field_[s]->inside[row], field_[s]->observed[row]);
    s = next;
  }
}

} // namespace tessera::cpu
