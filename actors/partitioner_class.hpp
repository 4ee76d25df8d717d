#pragma once
// The partitioner itself. Each of its subjects has a file of its own: changes of keyframes, many that go together, jobs for
// meshers, refills, sums over regions.

#include "actors/instrumented.hpp"
#include "actors/partitioner.hpp"
#include "actors/ray_maker.hpp"
#include "actors/refill_book.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace tessera::detail {

/// tick: the next step of a recovery or of a refill; idle: some regions may have held nothing for long enough.
using partitioner_self = partitioner_setup::extend<caf::reacts_to<caf::tick_atom>, caf::reacts_to<caf::idle_atom>>;

/// How an answer that did not come bears on what was asked of a mesher.
enum class loss {
  refused, ///< no memory: the job was not applied, and the mesher lives
  late,    ///< the mesher lives, and the job stands in its queue
  dead     ///< the mesher is gone: its successor's refill covers the job
};

loss loss_of(const caf::error& err);

/// Pause before something is gone on with for which there was no memory.
inline constexpr std::chrono::milliseconds memory_pause{200};

class partitioner final : public instrumented<partitioner_self> {
public:
  partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor, broadcaster_actor broadcaster,
              std::shared_ptr<keyframe_store> store, partitioner_config config);
  void on_exit() override;

  behavior_type make_behavior() override;

private:
  // -- ray makers (partitioner.cpp) ----------------------------------------------
  struct maker {
    ray_maker_actor handle{};
    size_t busy = 0;
    uint64_t restarts = 0;
  };

  void start_maker(maker& m);
  void replace_maker(const caf::actor_addr& dead);

  // -- what is live ---------------------------------------------------------------
  /// A keyframe's rays under one pose, in the regions that have them or are about to.
  struct placement {
    uint64_t serial = 0;
    pose world_from_camera;
    std::vector<region_key> regions; ///< sorted
    [[nodiscard]] bool in(const region_key& region) const { return std::binary_search(regions.begin(), regions.end(), region); }
  };

  struct live_keyframe {
    uint64_t timestamp_ns = 0, received_ns = 0, rays = 0;
    pose came_with;
    std::string source, group;
    std::vector<placement> placements; ///< one; while it is revised, two
  };

  // -- changes under way (partitioner_changes.cpp) --------------------------------
  enum class kind { integrate, retract, revise };

  /// Keyframes that go together, each by a change of its own.
  struct clearing {
    keyframe_selection which;
    uint64_t number; ///< order of arrival, among changes
    caf::typed_response_promise<verdict> promise;
    size_t left = 1;    ///< changes that are not done, and the collecting of them
    uint64_t gone = 0;  ///< keyframes that were taken out
    uint64_t stay = 0;  ///< that could not be
    std::string reason; ///< why the last of them could not
  };
  using clearing_ptr = std::shared_ptr<clearing>;

  /// A keyframe that comes, goes or moves. Those of one id are done one after another.
  struct change {
    kind what;
    keyframe_id id;
    uint64_t number;                              ///< order of arrival
    caf::typed_response_promise<verdict> promise; ///< unless it is part of a clearing
    clearing_ptr part_of;
    keyframe frame;  ///< of a keyframe that comes; its body only until the rays are made
    pose target;     ///< of a keyframe that moves
    partition parts; ///< what it adds to the map; kept until it is known that all regions took it
    uint64_t points = 0;
    uint32_t makers_lost = 0;        ///< ray makers that died over it
    size_t waits_for = 0;            ///< parts sent and not answered
    std::vector<hindered> not_taken; ///< parts that a region could not take
    std::function<void()> next;      ///< what to do when all parts have been answered
  };
  using change_ptr = std::shared_ptr<change>;

  change_ptr make_change(kind what, keyframe_id id);
  caf::typed_response_promise<verdict> add(const change_ptr& c);
  void start(const change_ptr& c);
  /// It is bad.
  void refuse(const change_ptr& c, refusal why, const std::string& reason);
  /// It stays with its sender.
  void not_now(const change_ptr& c, hindered by);
  void finish(const change_ptr& c, verdict v);

  // -- a partitioner's successor (partitioner_recovery.cpp) -----------------------
  /// Makes all that is live again from the store. What the dead partitioner had under way may be in some
  /// regions and not in others: the supervisor replaces all meshers, and each is refilled. Regions that have
  /// no mesher yet are filled from here.
  ///
  /// First it is told from the rays which regions each keyframe is in, a few keyframes at a time so that other
  /// messages come in between. Until that is done changes wait, and nothing is sent to regions. Sums over regions are refused
  /// until the regions have all again.
  void recover();
  void recover_step();
  /// Answers whether that is done: there may be no memory for it at the moment.
  bool recover(const keyframe_id& id);
  void end_recovery();
  [[nodiscard]] bool recovering() const { return !unrecovered_.empty(); }
  [[nodiscard]] caf::error being_made_again() const;

  // -- a keyframe comes -----------------------------------------------------------
  void start_integrate(const change_ptr& c);
  void integrate(const change_ptr& c, made_rays& made);
  [[nodiscard]] std::string nothing_left(const made_rays& made) const;
  /// Its id is live: is it the same keyframe again?
  void compare(const change_ptr& c, const live_keyframe& live, const made_rays& made);

  /// Some region had no room: takes the keyframe out of the others, so that it is in none.
  void undo_integrate(const change_ptr& c);
  static hindered no_room(const change_ptr& c);

  // -- a keyframe goes ------------------------------------------------------------
  void start_retract(const change_ptr& c);
  void forget(const keyframe_id& id);

  // -- a keyframe moves -----------------------------------------------------------
  /// Integrates under the new pose first: if there is no room for that, the keyframe stays where it was.
  void start_revise(const change_ptr& c);
  void end_revise(const change_ptr& c);
  void undo_revise(const change_ptr& c, const hindered& by);

  // -- many keyframes that go together (partitioner_clearing.cpp) -----------------
  caf::typed_response_promise<verdict> clear(keyframe_selection which);
  /// Queues a change for each keyframe that is live, or under way since before; returns those whose turn it is.
  std::vector<change_ptr> queue(const clearing_ptr& all);
  /// Starts its next changes, so many that a few are under way at once.
  void clear_on();
  void finish_part(const clearing_ptr& all, const verdict& v);
  /// One of its changes, or the collecting of them, is done.
  void settle(const clearing_ptr& all);

  // -- sending parts --------------------------------------------------------------
  placement make_placement(const keyframe_id& id, const pose& world_from_camera, const partition& parts);

  /// Splits a stored keyframe's rays by region; nothing if they cannot be read or there is no memory, and then says which. Throws
  /// keyframe_too_large, under a new pose.
  std::optional<partition> split(const keyframe_id& id, const pose& world_from_camera, hindered& by);
  /// Counts and logs what the store threw, and says what it means.
  hindered store_failed(const std::exception_ptr& thrown);

  /// Sends each region of the placement its part. The caller calls settle() when it is done itself.
  void send_parts(const change_ptr& c, const partition& parts, int32_t sign, const placement& place, uint64_t keyframe_ns,
                  uint64_t received_ns);

  /// Retracts a placement from all its regions. The caller calls settle() when it has taken the placement off
  /// the list.
  void take_out(const change_ptr& c, const placement& place, const partition& parts);

  /// One part, or the sending itself, is done.
  void settle(const change_ptr& c);

  // -- meshers (partitioner_jobs.cpp) ---------------------------------------------
  /// Why a job was sent: for a change, or to refill a region with a placement.
  struct purpose {
    change_ptr for_change;
    uint64_t refills = 0;
  };

  struct sent_job {
    region_key region;
    bool adds; ///< or takes away
    purpose why;
  };

  struct region_entry {
    mesher_actor mesher;
    bool asked = false;                                  ///< the supervisor was asked for the mesher
    bool down = false;                                   ///< the mesher was found dead; a refill is to come
    std::vector<std::pair<uint64_t, ray_job>> held_back; ///< jobs for when there is a mesher
    std::set<uint64_t> jobs;                             ///< sent to this mesher and not answered
    uint64_t placements = 0;                             ///< of live keyframes that are in it, or are about to be
    uint64_t questions = 0;                              ///< asked of this mesher and not answered
    uint64_t idle = 0; ///< since when it holds nothing: a number in idle_; 0: it holds something
  };

  void send_job(const region_key& region, ray_job job, purpose why);
  void hand_over(const region_key& region, region_entry& entry, uint64_t token, ray_job job);
  void placed(const region_key& region, const mesher_actor& mesher);
  void not_placed(const region_key& region, const caf::error& err);

  /// A region had no room for what a change adds: the change will be undone, and this region has nothing to
  /// undo.
  void not_taken(const sent_job& job, const caf::error& err);

  /// A job is done, or will be by its mesher's successor.
  void answered(uint64_t token);
  void lost(uint64_t token, const region_key& region, const caf::error& err);

  // -- regions that hold nothing (partitioner_idle.cpp) ---------------------------
  /// Call it when something of a region's is done: if nothing is left in it, its mesher ends after a while, and all that is known
  /// of the region goes with it. This actor alone sends meshers anything, and the supervisor hears of what it asks in order: so
  /// no job can be on its way to a mesher that ends.
  void note_idle(const region_key& region);
  [[nodiscard]] bool holds_nothing(const region_key& region, const region_entry& entry) const;
  void end_idle();
  void end_mesher(const region_key& region, const mesher_actor& mesher);

  // -- refills (partitioner_refills.cpp) ------------------------------------------
  void refill(const region_key& region, const mesher_actor& mesher);
  void refill_later(std::chrono::milliseconds pause);

  /// Sends the next keyframe that a new mesher lacks: one at a time, so that changes come in between.
  void refill_step();

  /// Tells the region's mesher when it has all.
  void end_refill(const region_key& region);
  void end_refills();

  // -- sums over all regions (partitioner_sums.cpp) -------------------------------
  /// Something that is asked of all meshers, after all changes that came before it.
  struct gather_job {
    uint64_t after; ///< changes up to this number must be done
    int attempts = 0;
    std::function<void(const std::shared_ptr<gather_job>&)> launch;
    std::function<void(const caf::error&)> fail;
    std::function<void()> forget; ///< lets go of the asker
  };
  using gather_ptr = std::shared_ptr<gather_job>;

  caf::typed_response_promise<map_status> ask_status();
  caf::typed_response_promise<std::vector<region_status>> ask_regions();
  caf::typed_response_promise<std::vector<region_mesh>> ask_meshes();

  /// Asks every mesher and answers the promise with `make(answers)`.
  template <class T, class Atom, class Promise, class Make>
  void gather(Atom question, Promise answer_to, Make make);

  /// A mesher answered, or will not: its region's entry, if it is still the region's mesher.
  region_entry* question_done(const region_key& region, const mesher_actor& mesher);

  /// A mesher died under it: asks all again when there is a new one.
  void restart(gather_ptr g);
  void restart_gathers();
  void give_up(const gather_ptr& g, const caf::error& err);

  /// Starts the sums whose time has come: nothing before them is open, and no region is down or being
  /// refilled.
  void try_gathers();
  map_status sum(const std::vector<region_status>& answers) const;

  // -- telling others (partitioner.cpp) -------------------------------------------
  void tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone);

  /// In the order in which they came, since a broadcaster keeps the newest.
  void tell_all_cameras();
  void count_store();

  // -- state --------------------------------------------------------------------------
  supervisor_actor supervisor_;
  broadcaster_actor broadcaster_;
  std::shared_ptr<keyframe_store> store_;
  partitioner_config config_;
  std::vector<maker> makers_;

  std::unordered_map<keyframe_id, live_keyframe> live_;
  std::unordered_map<uint64_t, keyframe_id> id_of_; ///< by placement
  std::unordered_map<keyframe_id, std::deque<change_ptr>> changes_;
  std::set<uint64_t> open_;             ///< numbers of the changes under way
  std::vector<clearing_ptr> clearings_; ///< not answered
  std::deque<change_ptr> to_clear_;     ///< their changes whose turn it is
  size_t clearing_now_ = 0;             ///< their changes that were started
  bool clearing_on_ = false;

  std::unordered_map<region_key, region_entry> regions_;
  std::unordered_map<uint64_t, sent_job> sent_; ///< by token
  struct idle_region {
    region_key region;
    uint64_t number;
    caf::actor_clock::time_point since;
  };
  std::deque<idle_region> idle_; ///< by time
  bool idle_tick_ = false;
  refill_book book_;
  uint64_t refill_jobs_ = 0;
  bool refill_tick_ = false;
  std::vector<keyframe_id> unrecovered_; ///< newest first: what a successor has not looked at yet
  bool made_again_ = true;               ///< no longer while a successor has not filled all regions
  bool cameras_due_ = false;             ///< a broadcaster came meanwhile
  std::vector<gather_ptr> gathers_;      ///< wait for their time
  std::vector<gather_ptr> running_;      ///< wait for answers

  uint64_t changes_seen_ = 0, serials_ = 0, tokens_ = 0, idles_ = 0;
};

} // namespace tessera::detail
