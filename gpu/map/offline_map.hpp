#pragma once

#include "gpu/fields.hpp"
#include "gpu/map/shared_fields.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/ray_digest.hpp"
#include "messages/keyframe_sink.hpp"
#include "messages/slice.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tessera {

/// How an offline map works.
struct offline_options {
  /// 1: one keyframe at a time, and an offer returns when it is in the map. More: many are under way, and offers return before.
  uint32_t threads = 1;
  /// Re-meshes the regions that each keyframe changed, as a live service does. Off: only when meshes are asked for.
  bool extract_each = false;
  /// Keeps every keyframe's rays, which retracting and revising need: 16 bytes a ray.
  bool keep_rays = false;
  /// Keyframes may come again: one whose id is live is compared with the live one as a service does, by its rays and the pose
  /// that it comes with. Costs 40 bytes a keyframe, and a GPU the way of its rays to the host. Off: it is a repetition, whatever
  /// it brings.
  bool ids_repeat = false;
  /// Says why a keyframe is not taken, or returns an empty string. Empty: every keyframe is taken.
  std::function<std::string(const keyframe&)> check;
  /// The same of the pose that a keyframe is to have from now on.
  std::function<std::string(const pose&)> check_pose;
  /// Says why a keyframe is not taken that writes nothing. Empty: it is taken.
  std::function<std::string(const ray_counts&, uint64_t beyond)> why_empty;
  /// Called when the work fails, and every keyframe from now on is refused: finish() throws what it was. From any thread.
  std::function<void()> on_failure;
};

/// Seconds that a keyframe took in each stage, as measured on the device, and what it cost.
struct stage_times {
  double upload_s = 0, rays_s = 0, integrate_s = 0, extract_s = 0;
  double total_s = 0; ///< from the offer to the answer
  uint32_t kernels = 0, copies = 0, attempts = 0;
  uint64_t bytes_up = 0, bytes_down = 0;
  /// What the device itself was busy with the keyframe.
  [[nodiscard]] double device_s() const { return upload_s + rays_s + integrate_s + extract_s; }
};

/// What became of the input.
struct offline_counts {
  uint64_t keyframes = 0; ///< live ones
  uint64_t points = 0;    ///< points of all keyframes that were taken
  uint64_t rays = 0;
  uint64_t duplicates = 0; ///< that came again
  uint64_t conflicts = 0;  ///< that had the id of a live one, and other rays or another pose
  uint64_t kept_out = 0;   ///< whose id was retracted before they came
  uint64_t set_aside = 0;
  std::string last_reason; ///< why the last one was set aside
};

/// A live keyframe's rays, and where they are.
struct placed_rays {
  ray_batch batch;
  pose world_from_camera;
};

/// A whole map in one process without actors: for files, benchmarks and checks. The result depends neither on the order of the
/// keyframes nor on the number of threads or devices.
///
/// A keyframe is in the map as a whole, or not at all. A device that fails ends the map, and so does want of memory for a new
/// keyframe: finish() throws it. A keyframe that finds no room under a new pose stays where it was.
///
/// Threads: keyframes may be offered, retracted and revised from any thread; what reads the map (from finish() on) is for one
/// thread, while nothing is offered.
class offline_map final : public keyframe_sink {
public:
  /// The devices share the map: each has the regions that owner_of() says. Throws std::invalid_argument for bad settings,
  /// no devices, or more than most_shares.
  offline_map(const map_settings& map, std::vector<std::shared_ptr<async_fields>> devices, offline_options options);
  ~offline_map() override;
  offline_map(const offline_map&) = delete;
  offline_map& operator=(const offline_map&) = delete;

  /// Waits while too much is under way; a revision or a retraction waits until it is done.
  void offer(map_input what, completion done) override;
  /// Moves those of keyframes, then those of groups, and returns when all is done. Entries are not checked but for their poses.
  void correct(correction what, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

  /// Waits until everything offered is in the map. Throws what ended the work: memory_cap_reached, say.
  void finish();

  [[nodiscard]] offline_counts counts() const;
  /// Of all live keyframes. In an order of their own, so that what is summed up of them is the same however they came.
  [[nodiscard]] std::map<keyframe_id, pose> poses() const;
  /// For each keyframe in order; only with one thread.
  [[nodiscard]] const std::vector<stage_times>& times() const { return times_; }
  /// All regions that hold anything of their own.
  [[nodiscard]] uint64_t regions();
  [[nodiscard]] field_stats stats();
  /// Every region's mesh, empty ones left out, in the order of their keys.
  [[nodiscard]] std::vector<region_mesh> meshes();
  /// What they have in a plane.
  [[nodiscard]] field_slice slice(const field_plane& plane);
  /// Of a live keyframe; nothing if there is none of that id. Only if rays are kept.
  [[nodiscard]] std::optional<placed_rays> rays_of(const keyframe_id& id) const;

private:
  /// A live keyframe, or one that is to become it.
  struct live_keyframe {
    ray_batch batch; ///< without rays unless they are kept
    pose world_from_camera, came_with;
    ray_digest digest;   ///< if ids repeat
    bool in_map = false; ///< else it is under way
    std::string group;
    std::optional<uint64_t> revision; ///< the number of the one that moved it, or its group, also before it came
  };

  void take_in(keyframe frame, completion done);
  void take_in(const retraction& of, const completion& done);
  void take_in(const revision& to, const completion& done);

  /// The keyframe of an id, once it is in the map; nothing if it is not taken.
  std::optional<live_keyframe> wait_for(const keyframe_id& id, std::unique_lock<std::mutex>& lock);
  /// The verdict on a keyframe whose id is live.
  verdict compare(const keyframe& frame, const live_keyframe& live);
  /// The verdict on a keyframe whose id is its own by now.
  verdict answer_to(const keyframe& frame, shared_report report, double total_s);
  verdict not_taken(const std::exception_ptr& why, bool in_part);
  verdict refused(const std::string& reason);
  /// The map ends here; finish() throws why.
  verdict ended_by(const std::exception_ptr& why, bool in_part);

  /// A keyframe that is to be moved, once it is in the map. If there is none to be had, says so.
  [[nodiscard]] std::optional<live_keyframe> find(const keyframe_id& id, const completion& done);
  /// A keyframe of that id is not live: if none ever was, one that comes stays out.
  void keep_out(const keyframe_id& id);
  verdict taken_out(const keyframe_id& id, const live_keyframe& was);
  /// First in, then out: what finds no room under its new pose has not gone from the old one.
  verdict moved(const keyframe_id& id, const live_keyframe& was, const pose& to, const std::optional<uint64_t>& number);
  /// All that belong to it at the moment; what comes later has moved already, under that number.
  std::vector<keyframe_id> begin_move_of(const std::string& group, const std::optional<uint64_t>& number);
  /// What happens to rays of a keyframe that is live stays short of ending the map as long as the map is whole.
  verdict not_moved(const shared_report& report);
  shared_report take_and_wait(const ray_batch& rays, const pose& at, int32_t sign);

  void note_regions(const take_report& report);
  void wait_for_answers();
  /// Asks for something of each of these regions, in their order, and waits. Throws what one of the answers was.
  template <class Answer, class Regions, class Ask>
  std::vector<std::pair<region_key, Answer>> of_each(const Regions& regions, Ask ask);
  std::vector<std::pair<region_key, field_stats>> stats_of_each();

  const map_settings map_;
  shared_fields devices_;
  const offline_options options_;
  const size_t most_under_way_;
  std::mutex moving_; ///< one keyframe at a time is moved or taken out
  mutable std::mutex mutex_;
  std::condition_variable changed_; ///< something under way was answered
  std::atomic<size_t> under_way_ = 0;
  std::unordered_map<keyframe_id, live_keyframe> live_;
  std::unordered_set<keyframe_id> went_;      ///< that were live, and were taken out: they may come again
  std::unordered_set<keyframe_id> retracted_; ///< before they came: they stay out
  std::unordered_map<std::string, uint64_t> group_revisions_;
  std::set<region_key> touched_; ///< ever
  offline_counts counts_;
  std::vector<stage_times> times_;
  std::exception_ptr failure_;
};

} // namespace tessera
