#pragma once

#include "net/sources/shm/shm_segment.hpp"
#include "shm_name.hpp"
#include "tests/support/segment_bytes.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <numeric>

namespace tessera::testing {

/// A segment of several pages.
inline segment_bytes large() {
  segment_bytes s;
  s.point_count = s.real_points = 20'000;
  s.has_confidence = 1;
  return s;
}

/// A segment, mapped (no memory) or read into memory.
inline std::unique_ptr<shm_segment> take(const shm_name& name, host_memory* memory) {
  auto out = std::make_unique<shm_segment>(name.key(), memory);
  out->read_all();
  return out;
}

/// Its writer's mapping, for as long as it lives. The first write to a page may change the file's time: that is over.
class writers_mapping {
public:
  writers_mapping(const shm_name& name, size_t bytes) : bytes_(bytes) {
    const int file = shm_open(name.key().c_str(), O_RDWR, 0);
    at_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    REQUIRE(at_ != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 4096) {
      auto* byte = static_cast<volatile char*>(at_) + i;
      *byte = *byte;
    }
  }
  ~writers_mapping() { munmap(at_, bytes_); }
  writers_mapping(const writers_mapping&) = delete;
  writers_mapping& operator=(const writers_mapping&) = delete;
  [[nodiscard]] std::byte& operator[](size_t i) const { return static_cast<std::byte*>(at_)[i]; }

private:
  void* at_;
  size_t bytes_;
};

inline double sum(const keyframe_body& b) {
  auto p = b.points();
  auto c = b.confidence();
  return std::accumulate(p.begin(), p.end(), 0.0) + std::accumulate(c.begin(), c.end(), 0.0);
}

} // namespace tessera::testing
