#pragma once
// What tests see of a stepped service from outside, and a sink that counts verdicts.

#include "toy_service.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tessera::toy {

/// Actors that the supervisor makes anew when they die, by role.
inline const std::vector<std::string> core_roles{"ingest", "partitioner", "broadcaster", "placement", "device"};

/// What a viewer who joins now is shown: each region's triangles.
inline std::map<region_key, uint32_t> shown(stepped_service& s) {
  auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
  s.run();
  std::map<region_key, uint32_t> out;
  for (const auto& p : patches->value())
    out[p.region] = p.triangles;
  return out;
}

/// Actors of a role that are up.
inline size_t up(stepped_service& s, const std::string& role) {
  size_t n = 0;
  for (const auto& a : s.running.context.registry->statuses())
    n += a.role == role && a.state != "down";
  return n;
}

inline std::vector<region_status> regions(stepped_service& s) {
  auto answer = s.ask<std::vector<region_status>>(s.running.partitioner.get(), list_atom::value);
  s.run();
  return answer->value();
}

inline uint64_t restarts_of(stepped_service& s, const std::string& role) {
  for (const auto& a : s.running.context.registry->statuses())
    if (a.role == role)
      return a.restarts;
  return 0;
}

/// Offers through the sink that sources use; counts the verdicts.
struct offered {
  explicit offered(stepped_service& s) : sink{make_ingest_sink(s.system, s.running, 1000)} { s.run(); }
  void put(const keyframe& frame) {
    ++asked;
    sink->offer(frame, [this](const verdict& v) { ++verdicts[v.what]; });
  }
  void retract(const keyframe& frame) {
    ++asked;
    sink->offer(retraction{frame.id}, [this](const verdict& v) { ++verdicts[v.what]; });
  }
  int answered() const {
    int n = 0;
    for (const auto& [what, count] : verdicts)
      n += count;
    return n;
  }
  std::map<outcome, int> verdicts;
  int asked = 0;
  std::unique_ptr<ingest_sink> sink;
};

/// The regions that a keyframe touches.
inline std::vector<region_key> regions_of(const keyframe& frame) {
  return regions_of(small_map(), frame);
}

/// Ends a sink under the test scheduler, where somebody must work off what it sends.
inline void end(stepped_service& s, offered& in) {
  s.run();
  in.sink->close();
  in.sink.reset();
  s.run();
}

} // namespace tessera::toy
