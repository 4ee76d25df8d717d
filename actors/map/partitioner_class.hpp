#pragma once
// The partitioner itself: it receives messages, asks plain classes what is to be done, and sends. What is live is in
// keyframe_ledger, the order of changes in change_queue and batch, that of takes in take_line, what regions hold and lack in
// region_book and refill_book, sums over them in gatherer, what is to be forgotten in retention.

#include "actors/base/instrumented.hpp"
#include "actors/base/log_limit.hpp"
#include "actors/map/batch.hpp"
#include "actors/map/device.hpp"
#include "actors/map/gatherer.hpp"
#include "actors/map/keyframe_ledger.hpp"
#include "actors/map/partitioner.hpp"
#include "actors/map/recovery.hpp"
#include "actors/map/refill_book.hpp"
#include "actors/map/region_book.hpp"
#include "actors/map/retention.hpp"
#include "actors/map/snapshot_book.hpp"
#include "actors/map/suspects.hpp"
#include "actors/map/take.hpp"
#include "actors/map/take_line.hpp"
#include "actors/map/trial.hpp"
#include "actors/store/store_client.hpp"
#include "messages/clock.hpp"

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::shared_snapshot)

namespace tessera::detail {

/// tick: the next step of a recovery or of a refill, or of what there was no memory for; idle: some regions may have held nothing
/// for long enough; delete: some keyframes may be old enough to be forgotten; flush: meshers may have waited for the end of a
/// batch for long enough; snapshot: regions may have been left alone for long enough, or a snapshot was read; ok: the store's
/// answers.
using partitioner_self
  = partitioner_setup::extend<caf::reacts_to<caf::tick_atom>, caf::reacts_to<caf::idle_atom>, caf::reacts_to<caf::delete_atom>,
                              caf::reacts_to<caf::flush_atom>, caf::reacts_to<snapshot_atom>,
                              caf::reacts_to<snapshot_atom, region_key, shared_snapshot>,
                              caf::reacts_to<caf::ok_atom, store_answer>>;

/// Pause before what lacked memory is tried again.
inline constexpr std::chrono::milliseconds memory_pause{200};

/// A keyframe with which alone meshers of a region died so often is deadly.
inline constexpr uint32_t most_mesher_deaths = 2;

/// Whether a keyframe of the store cannot be read, however often that is tried.
bool is_damage(const std::exception_ptr& thrown);

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
  /// Who sent the change, or asked for the batch, of this number is answered later.
  caf::typed_response_promise<verdict> promise(uint64_t number);
  void answer(uint64_t number, verdict v);
  void start(const change_ptr& c);
  /// Whether a change waits until a recovery is over, or has come to its keyframe; or for a batch that came before it.
  [[nodiscard]] bool must_wait(const change_ptr& c) const;
  /// Whether a recovery has yet to come to it.
  [[nodiscard]] bool must_be_recovered(const keyframe_id& id) const;
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
  /// `told`: its regions' meshers know of it.
  void stored(const change_ptr& c, size_t points, bool told);
  /// Takes it out again, since it could not be stored.
  void not_stored(const change_ptr& c, uint64_t serial, const ray_batch& rays, const std::exception_ptr& thrown);
  /// Its id is live: is it the same keyframe again?
  void start_compare(const change_ptr& c);
  void compare(const change_ptr& c, made_rays& made);
  void conflict(const change_ptr& c, const char* other);

  // -- a keyframe was retracted before it came (partitioner_retractions.cpp) --------
  /// The keyframe of a retraction is not live: if none ever was, one that comes late stays out.
  void remember(const change_ptr& c);
  /// It comes late.
  void keep_out(const change_ptr& c);
  /// All that an id has left is to be taken out, and it has no keyframe: perhaps a retraction.
  void forget_retraction(const change_ptr& c);

  // -- a keyframe goes ------------------------------------------------------------
  void start_retract(const change_ptr& c);
  /// It is not in the map, and goes from the store.
  void retract_from_store(const change_ptr& c);
  /// Takes an insertion out of all regions that have it, and goes on then. That is never refused, only tried again.
  void take_out(const change_ptr& c, uint64_t serial, const ray_batch& rays, std::function<void()> next);

  // -- a keyframe moves -----------------------------------------------------------
  /// Integrates under the new pose first: if there is no room for that, the keyframe stays where it was.
  void start_revise(const change_ptr& c);
  void revised(const change_ptr& c, taken& t, const ray_batch& rays);
  /// It is where it is to be: so it is in the store.
  void keep_place(const change_ptr& c);

  /// Reads the rays of the live keyframe that a change is about, and goes on; if they cannot be read, the change is not done now.
  void read(const change_ptr& c, std::function<void(const ray_batch&)> next);

  // -- many keyframes that go, or move, together (partitioner_clearing.cpp, partitioner_correction.cpp) ----
  caf::typed_response_promise<verdict> clear(keyframe_selection which);
  caf::typed_response_promise<verdict> correct(correction& what);
  batch_ptr begin_batch();
  /// Collects the changes of batches, in their order, as far as it can be known which keyframes they mean.
  void collect_all();
  /// Queues a change for each keyframe that it means and that is live, or comes by a change before it.
  void collect(const batch_ptr& all);
  /// ... for those that match; `make` makes it.
  void collect(const batch_ptr& all, const keyframe_selection& which, const std::function<change_ptr(const keyframe_id&)>& make);
  /// Starts changes whose turn it is among those of their ids, if they need not wait for anything else.
  void start_waiting();
  /// Starts batches' next changes, so many that a few are under way at once.
  void run_batches();
  void start_part(const change_ptr& c);
  void end_part(const change_ptr& c, const verdict& v);
  /// One of its changes, or the collecting of them, is done: answers with the last.
  void part_done(const batch_ptr& all);
  /// Meshers of regions that batches touched are told now.
  void end_hold();
  /// ... if they have waited for long enough.
  void check_hold();

  // -- keyframes beyond what is kept (partitioner_forgetting.cpp) -------------------
  /// Takes out the oldest of those that are beyond the limits, a few at a time.
  void forget_on();
  void start_forgetting(const change_ptr& c);
  void forgot(const change_ptr& c, const verdict& v);
  /// One of an earlier process, which is in no field yet, goes from the store.
  void forget_unread(const keyframe_id& id);
  [[nodiscard]] retention::moment moment() { return {now(), system_ns()}; }

  // -- keyframes over which something dies (partitioner_quarantine.cpp) -------------
  void mesher_died(const mesher_death& death);
  /// ... while it is being found out over which keyframe.
  void died_on_trial(const mesher_death& death, const suspects::finding& found);
  /// A device failed of itself as it took an insertion again.
  void device_died(uint64_t serial);
  [[nodiscard]] static std::string device_reason(uint32_t deaths);
  /// Takes a live keyframe out for good, by a change like any other.
  void condemn(uint64_t serial, std::string reason, uint32_t deaths);
  void end_trial_of(trial& all, std::optional<quarantined_keyframe> sentence);
  void suspect(const keyframe_id& id, suspicion what);
  void start_suspected(const change_ptr& c);
  void taken_out(const trial::suspect& one);
  /// It is in no region any more, and goes into quarantine; or stays in the store alone.
  void set_apart(const change_ptr& c);
  void left_out(const change_ptr& c);
  void enter_quarantine(const quarantined_keyframe& what, std::function<void()> next);
  /// One that devices fail over when it is to be made again is left out.
  void quarantine_unread(const stored_keyframe& stored);
  /// Takes those that are in quarantine out of `ids`, which are to be made again: they stay in the store.
  void leave_out_quarantined(std::vector<keyframe_id>& ids);
  /// Takes it out of quarantine: it may come again.
  void release(const change_ptr& c);
  void end_suspected(const change_ptr& c);
  [[nodiscard]] std::vector<keyframe_id> quarantined(const keyframe_selection& which) const;
  /// Takes it out, to be put back when the mesher has made a surface without it; trial.hpp.
  void try_alone(const region_key& region, uint64_t serial);
  void go_on_trying(const region_key& region);
  void put_back(const region_key& region);
  void put_back(const region_key& region, taken& t);
  /// Asks the region's mesher for a surface of all that is in it now.
  void ask_for_surface(const region_key& region);
  void ask_for_surface_again(const region_key& region);
  void surface_made(const region_key& region, uint64_t question);

  // -- regions and their meshers (partitioner_regions.cpp) ------------------------
  using region_entry = region_book<mesher_actor>::region;

  /// Enters that these regions have a live keyframe under a pose. `stamp`: of its rays under that pose; 0: they have none yet.
  insertion& insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions, uint64_t stamp = 0);
  /// Enters that no region has the insertion any more.
  void remove(uint64_t serial);
  /// Tells the meshers that their regions' fields have changed; or later, if it is by a part of a batch, or one touched the
  /// region before, so that viewers see what a batch does at once.
  void touch(const std::vector<region_key>& regions, uint64_t keyframe_ns, uint64_t received_ns, bool part_of_batch = false);
  void tell(const region_key& key, region_entry& its);
  /// Its newest insertion; 0 if it holds nothing.
  [[nodiscard]] static uint64_t newest_in(const region_entry& its);
  void placed(const region_key& key, const mesher_actor& mesher);
  /// The region has another mesher.
  void succeeded(const region_key& key, const mesher_actor& mesher);
  /// Whether the region's field lacks something that is live, or may.
  [[nodiscard]] bool lacks_something(const region_key& region) const;

  /// Call it when something of a region's is done: if nothing is left in it, its mesher ends after a while, and all that is known
  /// of the region goes with it.
  void note_idle(const region_key& key);
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
  void refilled(const keyframe_id& id, const refill_book::part& part, taken& t);
  /// What waited until an insertion is not being taken goes on, if it is not.
  void refill_done(uint64_t serial);
  /// Tells the region's mesher when it has all.
  void end_refill(const region_key& region);
  void end_refills();

  /// A partitioner's successor makes all that is live again from the store: it has all fields cleared and each keyframe taken, a
  /// few at a time. Until that is done changes wait, and meshers show what they did.
  void recover();
  void prefer_what_is_looked_at();
  void recover_step();
  void recover(const keyframe_id& id, store_answer& answer);
  /// It cannot be in the map as that is now.
  void leave_out(const keyframe_id& id, keyframe_labels its, const std::string& why);
  /// Likewise one that some regions have already.
  void leave_out(uint64_t serial, const caf::error& why);
  /// A keyframe of the map is damaged in the store, so that it can neither be filled in again nor be taken out: a successor makes
  /// the map again without it.
  void made_without(const keyframe_id& id);
  /// It is there again, or will not be: what waits for it goes on, if it need not wait for all.
  void recovered(const keyframe_id& id);
  void end_recovery();
  /// All is in the fields that was live at the start: when the surfaces are told, too, what viewers hold besides is gone.
  void tell_that_all_is_there();
  /// Until the region's mesher has told a surface of all that it was told of, or the region is gone. `left`: that are waited for.
  void wait_for_surface(const region_key& region, const std::shared_ptr<size_t>& left);
  void surface_told(const std::shared_ptr<size_t>& left);
  [[nodiscard]] bool recovering() const { return recovery_.active(); }
  /// Whether regions are yet to have what an earlier process kept.
  [[nodiscard]] bool filling_kept() const { return !made_again_ && config_.begins == map_beginning::kept; }
  [[nodiscard]] caf::error being_made_again() const;

  // -- snapshots of regions (partitioner_snapshots.cpp) ----------------------------
  /// Enters those of the store's keyframes as live of which is known where their rays went, and takes them out of `ids`: their
  /// regions lack them, as after the loss of a device.
  void enter_kept(std::vector<keyframe_id>& ids);
  /// Finds which regions have snapshots: they wait for these.
  void find_snapshots();
  /// Fills the regions nearest to one of these places first.
  void prefer_regions(const std::vector<view_board::position>& near_to);
  /// Has the next snapshots read, a few at a time.
  void fetch_snapshots();
  void fetched(const region_key& region, const shared_snapshot& its);
  /// The region is filled with rays.
  void unused(const region_key& region);
  /// Gives devices the images that were read, as send_takes() does keyframes.
  void send_images();
  /// The insertions of these stamps, if all are live in the region and there are any.
  [[nodiscard]] std::optional<std::vector<uint64_t>> live_in(const region_key& region, const std::vector<uint64_t>& stamps);
  void add_image(const region_key& region, const std::vector<uint64_t>& serials, const shared_image& image);
  void image_added(const region_key& region, const std::vector<uint64_t>& serials, const caf::error& failure);
  /// The region's snapshot, if there is one, is of the past.
  void note_changed(const region_key& region);
  void snapshot_later();
  void take_snapshots();
  void count_snapshots();
  /// In a quiet moment.
  void take_snapshot(const region_key& region);

  // -- sums over all regions (partitioner_sums.cpp) -------------------------------
  /// Who waits for a sum.
  struct asker {
    std::function<void(gathering&)> answer;
    std::function<void(const caf::error&)> fail;
  };

  caf::typed_response_promise<map_status> ask_status();
  caf::typed_response_promise<std::vector<region_status>> ask_regions();
  caf::typed_response_promise<std::vector<region_mesh>> ask_meshes();
  /// `make` makes the answer of what all regions said.
  template <class Answer, class Make>
  caf::typed_response_promise<Answer> gather(bool of_meshes, Make make);
  [[nodiscard]] bool may_gather() const;
  /// Starts the sums whose time has come: nothing before them is open, and no region is down or being refilled.
  void try_gathers();
  void ask_all(const gathering_ptr& g);
  void ask_device(const gathering_ptr& g, const region_key& region);
  void ask_mesher(const gathering_ptr& g, const region_key& key, region_entry& its);
  template <class Enter>
  void answered(const gathering_ptr& g, int attempt, Enter enter);
  /// Somebody died under it: asks all again when there is a successor.
  void restart(const gathering_ptr& g);
  void restart_gathers();
  void give_up(const gathering_ptr& g, const caf::error& err);

  // -- planes (partitioner_slices.cpp) --------------------------------------------
  /// A plane whose regions are being asked for what they have in it.
  struct slicing {
    field_plane plane;
    caf::typed_response_promise<field_slice> promise;
    std::vector<region_key> to_ask; ///< from the last to the first
    size_t asked = 0;               ///< and not answered
    field_slice made{};
  };
  using slicing_ptr = std::shared_ptr<slicing>;

  caf::typed_response_promise<field_slice> ask_slice(const field_plane& plane);
  /// Asks the next regions; answers when there is none left.
  void slice_on(const slicing_ptr& one);
  void end_slicing(const slicing_ptr& one, const caf::error& failure = {});

  // -- telling others (partitioner.cpp) -------------------------------------------
  /// Counts and logs what the store threw, and says what it means.
  hindered store_failed(const std::exception_ptr& thrown);
  void count_store();
  void tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone);
  /// In the order in which they came, since a broadcaster keeps the newest.
  void tell_all_cameras();

  // -- state --------------------------------------------------------------------------
  supervisor_actor supervisor_;
  broadcaster_actor broadcaster_;
  store_client store_;
  log_limit store_log_{std::chrono::minutes{1}}; ///< what fails is tried again for as long as it fails
  partitioner_config config_;

  device_table devices_;              ///< in use
  std::optional<device_table> fresh_; ///< to be used from the next quiet moment on
  take_line<take_ptr> takes_;
  bool stores_ = true;    ///< the last keyframe could be stored
  size_t unfinished_ = 0; ///< changes whose second half is to come
  std::vector<std::pair<device_actor, std::function<void()>>> with_others_;
  bool going_on_ = false;
  std::vector<std::function<void()>> later_; ///< when the tick comes
  size_t turn_ = 0;                          ///< of devices that do something for all of them

  keyframe_ledger live_;
  std::mt19937_64 stamps_;
  change_queue changes_;
  batch_list batches_;
  bool batches_run_ = false;
  std::unordered_set<region_key> held_; ///< regions that batches touched, whose meshers are not told yet
  caf::actor_clock::time_point held_since_{};
  bool hold_tick_ = false;
  /// Of changes and batches, by number. A promise holds this actor, so nothing else has them.
  std::unordered_map<uint64_t, caf::typed_response_promise<verdict>> promises_;

  retention kept_{config_.retain, moment()};
  size_t forgetting_ = 0; ///< keyframes that are being taken out for it
  bool forgetting_on_ = false, forgetting_pauses_ = false;
  std::optional<caf::actor_clock::time_point> forget_at_; ///< when a message says that it may be time

  suspects suspects_;
  std::map<region_key, trial> trials_;
  std::unordered_set<keyframe_id> tried_; ///< keyframes in them

  region_book<mesher_actor> regions_;
  bool idle_tick_ = false;
  refill_book book_;
  std::map<uint64_t, std::vector<std::function<void()>>> after_refill_; ///< by insertion, what waits until it is not being taken
  bool tick_ = false;
  recovery recovery_;
  std::optional<uint64_t> seen_views_; ///< viewers' views by which it is in order (view_board)
  caf::actor_clock::time_point look_again_{};
  std::deque<region_key> to_fetch_;                 ///< whose snapshots are to be read, the most wanted first
  size_t fetching_ = 0;                             ///< that are being read
  std::deque<shared_snapshot> snapshots_;           ///< that were
  std::optional<view_board::position> newest_kept_; ///< where the newest keyframe of the store is
  snapshot_book due_;
  bool snapshot_tick_ = false;
  size_t exporting_ = 0;     ///< regions whose fields are on their way to a snapshot
  bool made_again_ = true;   ///< no longer while a successor has not filled all regions
  bool cameras_due_ = false; ///< a broadcaster came meanwhile
  gatherer gathers_;
  std::unordered_map<uint64_t, asker> askers_; ///< by gathering
  std::vector<slicing_ptr> slicings_;          ///< under way
};

} // namespace tessera::detail
