#pragma once
// The partitioner itself. Each of its subjects has a file of its own: changes of keyframes, many that go together, what devices
// are asked to take, what the store is asked, regions and their meshers, refills, sums over regions.

#include "actors/base/instrumented.hpp"
#include "actors/map/clearing.hpp"
#include "actors/map/keyframe_ledger.hpp"
#include "actors/map/partitioner.hpp"
#include "actors/map/refill_book.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

namespace tessera::detail {

/// What a request to the store came to. Stays in the process.
struct store_answer {
  std::exception_ptr failure;
  bool done = false;                      ///< of what changes something: whether it did
  std::optional<stored_keyframe> frame{}; ///< of what reads
  uint64_t request = 0;
};

} // namespace tessera::detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::detail::store_answer)

namespace tessera::detail {

/// tick: the next step of a recovery or of a refill, or of what there was no memory for; idle: some regions may have held nothing
/// for long enough; ok: the store's answers.
using partitioner_self = partitioner_setup::extend<caf::reacts_to<caf::tick_atom>, caf::reacts_to<caf::idle_atom>,
                                                   caf::reacts_to<caf::ok_atom, store_answer>>;

/// Pause before something is gone on with for which there was no memory.
inline constexpr std::chrono::milliseconds memory_pause{200};

/// Whether an error means that what a device held is lost. Then there will be other devices.
bool is_device_loss(const caf::error& err);

class partitioner final : public instrumented<partitioner_self> {
public:
  partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor, broadcaster_actor broadcaster,
              std::shared_ptr<keyframe_store> store, partitioner_config config);
  void on_exit() override;

  behavior_type make_behavior() override;

private:
  // -- what devices take (partitioner_takes.cpp) ----------------------------------
  /// What came of it on all devices together. With a failure nothing has changed.
  struct taken {
    take_report report;
    caf::error failure{};
  };

  /// A keyframe that is to be taken by all devices, or by none.
  struct take {
    std::function<std::optional<take_request>()> make; ///< asked whenever it is sent; nothing: there is nothing to do any more
    std::function<void(taken&)> done;
    bool again = true;      ///< when there are other devices, if one was lost over it; else that is its failure
    bool continues = false; ///< a change of which half is done: nothing comes in between

    take_request sent{};
    std::shared_ptr<rays_for_peers> for_peers{}; ///< while one device makes the rays for all: where it puts those of the others
    taken result{};
    size_t waits_for = 0;
    std::vector<std::pair<device_actor, std::vector<region_key>>> by; ///< devices that took it, and where
    std::vector<device_actor> lost{};
    bool failed = false; ///< one of these of itself
    uint32_t losses = 0; ///< times that one was
  };
  /// A keyframe over which devices failed so often is not taken again.
  static constexpr uint32_t most_losses = 3;
  using take_ptr = std::shared_ptr<take>;

  /// Queues it: behind what was queued before, and behind what waits for a quiet moment; unless it continues something.
  void ask(const take_ptr& t);
  void send_takes();
  void send_take(const take_ptr& t);
  /// Each device gets it whole.
  void send_whole(const take_ptr& t);
  /// One device in turn makes the rays, takes what is its own, and its peers take the rest.
  void send_in_turn(const take_ptr& t);
  /// Gives each of the other devices its rays.
  void send_to_peers(const take_ptr& t);
  void give(const take_ptr& t, const placed_device& to, take_request what);
  void took(const take_ptr& t, const device_actor& device, take_report& report);
  void not_taken(const take_ptr& t, const device_actor& device, caf::error& err);
  void taken_by_all(const take_ptr& t);
  /// Takes it out again of a device that took it.
  void take_back(const take_ptr& t, const device_actor& device, const std::vector<region_key>& regions);
  void end_take(const take_ptr& t);

  /// Does something while no device takes anything; what is asked of devices meanwhile comes after it.
  void when_quiet(std::function<void()> act);
  void go_on();

  /// Does something again when these are no longer the devices.
  void with_others(const device_actor& lost, std::function<void()> again);
  void later(std::chrono::milliseconds pause, std::function<void()> what);

  // -- changes under way (partitioner_changes.cpp) --------------------------------
  caf::typed_response_promise<verdict> add(const change_ptr& c);
  /// Who sent the change, or asked for the clearing, of this number is answered later.
  caf::typed_response_promise<verdict> promise(uint64_t number);
  void answer(uint64_t number, verdict v);
  void start(const change_ptr& c);
  /// It is bad.
  void refuse(const change_ptr& c, refusal why, const std::string& reason);
  /// It stays with its sender.
  void not_now(const change_ptr& c, hindered by);
  void finish(const change_ptr& c, verdict v);

  // -- a keyframe comes -----------------------------------------------------------
  void start_integrate(const change_ptr& c);
  void integrated(const change_ptr& c, taken& t);
  /// A device could not take it, or make its rays.
  void not_integrated(const change_ptr& c, const caf::error& err);
  void stored(const change_ptr& c, size_t points);
  /// It goes again, since it could not be stored.
  void not_stored(const change_ptr& c, uint64_t serial, const ray_batch& rays, const std::exception_ptr& thrown);
  /// Its id is live: is it the same keyframe again?
  void start_compare(const change_ptr& c);
  void compare(const change_ptr& c, made_rays& made);
  void conflict(const change_ptr& c, const char* other);

  // -- a keyframe goes ------------------------------------------------------------
  void start_retract(const change_ptr& c);
  /// Takes an insertion out of all regions that have it, and goes on then. That is never refused, only tried again.
  void take_out(uint64_t serial, const ray_batch& rays, bool continues, std::function<void()> next);

  // -- a keyframe moves -----------------------------------------------------------
  /// Integrates under the new pose first: if there is no room for that, the keyframe stays where it was.
  void start_revise(const change_ptr& c);
  void revised(const change_ptr& c, taken& t, const ray_batch& rays);

  // -- what the store is asked (partitioner_store.cpp) ----------------------------
  using store_done = std::function<void(store_answer&)>;

  void ask_to_put(stored_keyframe frame, store_done then);
  void ask_to_get(const keyframe_id& id, store_done then);
  void ask_to_erase(const keyframe_id& id, store_done then);
  void ask_to_set_pose(const keyframe_id& id, const pose& world_from_camera, store_done then);
  /// `start(tell)` asks. `then` is done in this actor: at once if the answer comes at once.
  template <class Start>
  void ask_store(store_done then, Start start);
  void store_answered(store_answer& answer);
  /// Reads the rays of the live keyframe that a change is about, and goes on; if they cannot be read, the change is not done now.
  void read(const change_ptr& c, std::function<void(const ray_batch&)> next);
  /// Counts and logs what the store threw, and says what it means.
  hindered store_failed(const std::exception_ptr& thrown);
  void count_store();

  // -- many keyframes that go together (partitioner_clearing.cpp) -----------------
  caf::typed_response_promise<verdict> clear(keyframe_selection which);
  /// Queues a change for each keyframe that is live, or comes by a change before it; returns those whose turn it is.
  std::vector<change_ptr> collect(const clearing_ptr& all);
  /// Starts clearings' next changes, so many that a few are under way at once.
  void clear_on();
  /// One of its changes, or the collecting of them, is done: answers with the last.
  void clearing_part_done(const clearing_ptr& all);

  // -- regions and their meshers (partitioner_regions.cpp) ------------------------
  struct region_entry {
    mesher_actor mesher;
    bool asked = false; ///< the supervisor was asked for the mesher
    bool down = false;  ///< the mesher was found dead; a successor is to come
    bool dirty = false; ///< the mesher that is to come is told so
    uint64_t keyframe_ns = 0, received_ns = 0;
    std::vector<uint64_t> insertions; ///< of live keyframes that are in it, ascending
    uint64_t refills = 0;             ///< being taken
    uint64_t questions = 0;           ///< asked of this mesher and not answered
    uint64_t idle = 0;                ///< since when it holds nothing: a number in idle_; 0: it holds something
  };

  /// Enters that these regions have a live keyframe under a pose, or have an insertion no more.
  insertion& insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions);
  void remove(uint64_t serial);
  /// Tells the meshers that their regions' fields have changed.
  void touch(const std::vector<region_key>& regions, uint64_t keyframe_ns, uint64_t received_ns);
  void tell(const region_key& region, region_entry& entry);
  void placed(const region_key& region, const mesher_actor& mesher);
  /// The region has another mesher.
  void succeeded(const region_key& region, const mesher_actor& mesher);
  /// Whether the region's field lacks something that is live, or may.
  [[nodiscard]] bool lacks_something(const region_key& region) const;

  /// Call it when something of a region's is done: if nothing is left in it, its mesher ends after a while, and all that is known
  /// of the region goes with it.
  void note_idle(const region_key& region);
  [[nodiscard]] bool holds_nothing(const region_key& region, const region_entry& entry) const;
  void end_idle();
  void end_mesher(const region_key& region, const mesher_actor& mesher);
  /// Has the fields of regions dropped that hold nothing. Only while no device takes anything: what is under way may touch them.
  void drop_emptied();

  // -- refills (partitioner_refills.cpp) ------------------------------------------
  /// Uses the fresh devices from now on. Of those that were not there before, and of regions that have another device than
  /// before, the fields are filled again.
  void use_fresh();
  void refill_later(std::chrono::milliseconds pause);
  /// Sends the next keyframes that regions lack: a few at a time, so that changes come in between.
  void refill_step();
  /// A keyframe's rays were read, or not, for the regions that lack it.
  void refill(uint64_t serial, store_answer& stored);
  void refilled(const keyframe_id& id, const refill_book::due& due, taken& t);
  /// Tells the region's mesher when it has all.
  void end_refill(const region_key& region);
  void end_refills();

  /// A partitioner's successor makes all that is live again from the store: it has all fields cleared and each keyframe taken, a
  /// few at a time. Until that is done changes wait, and meshers show what they did.
  void recover();
  void recover_step();
  void recover(const keyframe_id& id, store_answer& answer);
  void end_recovery();
  [[nodiscard]] bool recovering() const { return recovering_; }
  [[nodiscard]] caf::error being_made_again() const;

  // -- sums over all regions (partitioner_sums.cpp) -------------------------------
  /// Something that is asked of all regions, after all changes that came before it.
  struct gather_job {
    bool of_meshes;
    uint64_t after; ///< changes up to this number must be done
    int attempts = 0;
    size_t left = 0; ///< answers to come
    std::map<region_key, region_status> statuses{};
    std::vector<region_mesh> meshes{};
    std::function<void(gather_job&)> answer{};
    std::function<void(const caf::error&)> fail{};
  };
  using gather_ptr = std::shared_ptr<gather_job>;

  caf::typed_response_promise<map_status> ask_status();
  caf::typed_response_promise<std::vector<region_status>> ask_regions();
  caf::typed_response_promise<std::vector<region_mesh>> ask_meshes();
  /// `make` makes the answer of what all regions said.
  template <class Answer, class Make>
  caf::typed_response_promise<Answer> gather(bool of_meshes, Make make);
  void ask_all(const gather_ptr& g);
  void ask_device(const gather_ptr& g, const region_key& region);
  void ask_mesher(const gather_ptr& g, const region_key& region, region_entry& entry);
  template <class F>
  void answered(const gather_ptr& g, int attempt, F enter);
  [[nodiscard]] bool may_gather() const;

  /// A mesher answered, or will not: its region's entry, if it is still the region's mesher.
  region_entry* question_done(const region_key& region, const mesher_actor& mesher);

  /// Somebody died under it: asks all again when there is a successor.
  void restart(gather_ptr g);
  void restart_gathers();
  void give_up(const gather_ptr& g, const caf::error& err);

  /// Starts the sums whose time has come: nothing before them is open, and no region is down or being refilled.
  void try_gathers();
  [[nodiscard]] map_status sum(const std::map<region_key, region_status>& answers) const;

  // -- telling others (partitioner.cpp) -------------------------------------------
  void tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone);

  /// In the order in which they came, since a broadcaster keeps the newest.
  void tell_all_cameras();

  // -- state --------------------------------------------------------------------------
  supervisor_actor supervisor_;
  broadcaster_actor broadcaster_;
  std::shared_ptr<keyframe_store> store_;
  std::unordered_map<uint64_t, store_done> asked_of_store_; ///< and not answered
  partitioner_config config_;

  device_table devices_;              ///< in use
  std::optional<device_table> fresh_; ///< to be used from the next quiet moment on
  std::deque<take_ptr> takes_;        ///< not sent
  size_t taking_ = 0;                 ///< sent and not done
  size_t unfinished_ = 0;             ///< of those that continue something, not done
  std::vector<std::function<void()>> quiet_;
  std::vector<std::pair<device_actor, std::function<void()>>> with_others_;
  bool going_on_ = false;
  std::vector<std::function<void()>> later_; ///< when the tick comes
  size_t turn_ = 0;                          ///< of devices that do something for all of them

  keyframe_ledger live_;
  change_queue changes_;
  clearing_list clearings_;
  bool clearing_on_ = false;
  /// Of changes and clearings, by number. A promise holds this actor, so nothing else has them.
  std::unordered_map<uint64_t, caf::typed_response_promise<verdict>> promises_;

  std::unordered_map<region_key, region_entry> regions_;
  std::set<region_key> emptied_; ///< their fields may still be there
  struct idle_region {
    region_key region;
    uint64_t number;
    caf::actor_clock::time_point since;
  };
  std::deque<idle_region> idle_; ///< by time
  bool idle_tick_ = false;
  refill_book book_;
  uint64_t refills_ = 0;                                                ///< under way: being read, or taken
  std::set<uint64_t> being_read_;                                       ///< for a refill, by insertion
  std::map<uint64_t, uint64_t> refilling_;                              ///< being taken, by insertion
  std::map<uint64_t, std::vector<std::function<void()>>> after_refill_; ///< by insertion, what waits for those
  bool tick_ = false;
  std::vector<keyframe_id> unrecovered_; ///< newest first: what a successor has not looked at yet
  size_t recovering_now_ = 0;            ///< keyframes of those that are being read or taken
  bool recovering_ = false;              ///< until all of them are there
  bool made_again_ = true;               ///< no longer while a successor has not filled all regions
  bool cameras_due_ = false;             ///< a broadcaster came meanwhile
  std::vector<gather_ptr> gathers_;      ///< wait for their time
  std::vector<gather_ptr> running_;      ///< wait for answers

  uint64_t idles_ = 0, asked_ = 0;
};

} // namespace tessera::detail
