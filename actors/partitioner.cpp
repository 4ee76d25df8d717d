#include "actors/partitioner.hpp"

#include "actors/instrumented.hpp"
#include "actors/peer_loss.hpp"
#include "actors/ray_maker.hpp"
#include "actors/refill_book.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace tessera {

namespace {

/// tick: the next step of a refill.
using partitioner_self = partitioner_setup::extend<caf::reacts_to<caf::tick_atom>>;

/// Pause before a refill is gone on with after there was no memory for it.
constexpr std::chrono::milliseconds memory_pause{200};
/// How often a sum over all regions is started again because a mesher died under it.
constexpr int gather_attempts = 100;

/// How an answer that did not come bears on what was asked of a mesher.
enum class loss {
  refused, ///< no memory: the job was not applied, and the mesher lives
  late,    ///< the mesher lives, and the job stands in its queue
  dead     ///< the mesher is gone: its successor's refill covers the job
};

loss loss_of(const caf::error& err) {
  if (err == ec::out_of_memory)
    return loss::refused;
  if (err == caf::sec::request_timeout)
    return loss::late;
  return loss::dead;
}

class partitioner final : public instrumented<partitioner_self> {
public:
  partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor, broadcaster_actor broadcaster,
              std::shared_ptr<keyframe_store> store, partitioner_config config)
    : instrumented(cfg, std::move(context), {"partitioner"}), supervisor_{std::move(supervisor)},
      broadcaster_{std::move(broadcaster)}, store_{std::move(store)}, config_{std::move(config)} {}

  void on_exit() override {
    for (auto& m : makers_)
      send_exit(m.handle, caf::exit_reason::user_shutdown);
    const auto gone = caf::make_error(ec::restarting, std::string{"the partitioner ended"});
    for (auto& [id, waiting] : changes_)
      for (auto& c : waiting) {
        c->next = nullptr; // it holds the change that holds it
        std::exchange(c->promise, {}).deliver(gone); // a promise holds this actor, and answers that will not come hold the change
      }
    makers_.clear();
    changes_.clear();
    sent_.clear();
    regions_.clear();
    for (auto* list : {&gathers_, &running_}) {
      for (auto& g : *list) {
        g->fail(gone);
        g->forget();
      }
      list->clear();
    }
    supervisor_ = nullptr;
    broadcaster_ = nullptr;
  }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { replace_maker(down.source); });
    makers_.resize(std::max(1u, config_.ray_makers));
    for (auto& m : makers_)
      start_maker(m);
    if (config_.successor)
      recover();
    count_store();
    return {
      [this](integrate_atom, keyframe& frame) {
        auto c = make_change(kind::integrate, frame.id);
        c->frame = std::move(frame);
        return add(c);
      },
      [this](retract_atom, const keyframe_id& id) { return add(make_change(kind::retract, id)); },
      [this](revise_atom, const keyframe_id& id, const pose& world_from_camera) {
        auto c = make_change(kind::revise, id);
        c->target = world_from_camera;
        return add(c);
      },
      [this](refill_atom, region_key region, const mesher_actor& mesher) { refill(region, mesher); },
      [this](caf::put_atom, const broadcaster_actor& successor) {
        broadcaster_ = successor;
        tell_all_cameras();
      },
      [this](status_atom) {
        auto promise = make_response_promise<caf::typed_response_promise<map_status>>();
        gather<region_status>(status_atom::value, promise, [this](const auto& answers) { return sum(answers); });
        return promise;
      },
      [this](list_atom) {
        auto promise = make_response_promise<caf::typed_response_promise<std::vector<region_status>>>();
        gather<region_status>(status_atom::value, promise, [](const auto& answers) { return answers; });
        return promise;
      },
      [this](mesh_atom) {
        auto promise = make_response_promise<caf::typed_response_promise<std::vector<region_mesh>>>();
        gather<region_mesh>(mesh_atom::value, promise, [](const auto& answers) { return answers; });
        return promise;
      },
      [this](caf::tick_atom) {
        refill_tick_ = false;
        refill_step();
      },
    };
  }

private:
  // -- what is live -----------------------------------------------------------

  /// A keyframe's rays under one pose, in the regions that have them or are about to.
  struct placement {
    uint64_t serial = 0;
    pose world_from_camera;
    std::vector<region_key> regions; ///< sorted
    [[nodiscard]] bool in(const region_key& region) const { return std::binary_search(regions.begin(), regions.end(), region); }
  };

  struct live_keyframe {
    uint64_t timestamp_ns = 0, received_ns = 0, rays = 0;
    std::vector<placement> placements; ///< one; while it is revised, two
  };

  // -- changes under way ------------------------------------------------------

  struct maker {
    ray_maker_actor handle{};
    size_t busy = 0;
    uint64_t restarts = 0;
  };

  enum class kind { integrate, retract, revise };

  /// A keyframe that comes, goes or moves. Those of one id are done one after another.
  struct change {
    kind what;
    keyframe_id id;
    uint64_t number; ///< order of arrival
    caf::typed_response_promise<verdict> promise;
    keyframe frame; ///< of a keyframe that comes; its body only until the rays are made
    pose target;    ///< of a keyframe that moves
    partition parts; ///< what it adds to the map; kept until it is known that all regions took it
    uint64_t points = 0;
    uint32_t makers_lost = 0; ///< ray makers that died over it
    size_t waits_for = 0; ///< parts sent and not answered
    std::vector<std::pair<region_key, std::string>> refused; ///< parts for which there was no room
    std::function<void()> next; ///< what to do when all parts have been answered
  };
  using change_ptr = std::shared_ptr<change>;

  change_ptr make_change(kind what, keyframe_id id) {
    auto c = std::make_shared<change>();
    c->what = what;
    c->id = std::move(id);
    c->number = ++changes_seen_;
    return c;
  }

  caf::typed_response_promise<verdict> add(const change_ptr& c) {
    c->promise = make_response_promise<caf::typed_response_promise<verdict>>();
    open_.insert(c->number);
    auto& waiting = changes_[c->id];
    waiting.push_back(c);
    if (waiting.size() == 1)
      start(c);
    return c->promise;
  }

  void start(const change_ptr& c) {
    switch (c->what) {
      case kind::integrate: return start_integrate(c);
      case kind::retract: return start_retract(c);
      case kind::revise: return start_revise(c);
    }
  }

  void refuse(const change_ptr& c, refusal why, const std::string& reason) {
    numbers().count_refused(why);
    numbers().set_aside.add("map", c->id.value, reason);
    finish(c, {outcome::refused, reason});
  }

  void finish(const change_ptr& c, verdict v) {
    auto& n = numbers();
    auto count = [](telemetry::counter& x) { x.fetch_add(1, std::memory_order_relaxed); };
    if (v.what == outcome::accepted)
      count(c->what == kind::integrate ? n.accepted : c->what == kind::retract ? n.retracted : n.revised);
    else if (v.what == outcome::duplicate)
      count(n.duplicate);
    else if (v.what == outcome::unknown)
      count(n.unknown);
    c->next = nullptr;
    c->promise.deliver(std::move(v));
    open_.erase(c->number);
    auto i = changes_.find(c->id);
    i->second.pop_front();
    if (i->second.empty())
      changes_.erase(i);
    else
      start(change_ptr{i->second.front()});
    try_gathers();
  }

  // -- a partitioner's successor ----------------------------------------------------

  /// Makes all that is live again from the store. What the dead partitioner had under way may be in some regions and not in others:
  /// the supervisor replaces all meshers, and each is refilled. Regions that have no mesher yet are filled from here.
  void recover() {
    std::unordered_map<region_key, std::set<uint64_t>> filled;
    for (const auto& id : store_->ids())
      try {
        const auto stored = store_->get(id).value();
        uint64_t beyond = 0;
        const auto parts = config_.rays.split(config_.map, *stored.rays.rays, stored.world_from_camera, beyond);
        const auto place = make_placement(id, stored.world_from_camera, parts);
        for (const auto& region : place.regions)
          filled[region].insert(place.serial);
        live_[id] = {stored.timestamp_ns, stored.received_ns, stored.rays.rays->size(), {place}};
      } catch (const std::exception& e) {
        store_failed(e);
        shared().write(severity::error, "keyframe " + id.value + " is lost: its rays could not be read");
        store_->erase(id);
      }
    for (auto& [region, placements] : filled)
      book_.start(region, std::move(placements));
    refill_step();
  }

  // -- a keyframe comes ---------------------------------------------------------

  void start_integrate(const change_ptr& c) {
    if (live_.contains(c->id))
      return finish(c, {outcome::duplicate, {}});
    auto idlest = std::min_element(makers_.begin(), makers_.end(), [](const auto& a, const auto& b) { return a.busy < b.busy; });
    const auto index = static_cast<size_t>(idlest - makers_.begin());
    ++idlest->busy;
    c->points = c->frame.body->size();
    request(idlest->handle, config_.request_timeout, integrate_atom::value, c->frame)
      .then(
        [this, c, index](made_rays& made) {
          --makers_[index].busy;
          c->frame.body.reset();
          integrate(c, made);
        },
        [this, c, index](caf::error& err) {
          --makers_[index].busy;
          if (is_peer_loss(err) && ++c->makers_lost < 3)
            return start_integrate(c); // with another; a keyframe that kills them all is refused
          c->frame.body.reset();
          refuse(c, refusal::internal, "the keyframe's rays could not be made: " + describe(err));
        });
  }

  void start_maker(maker& m) {
    m.handle = spawn_ray_maker(system(), shared(), config_.map, config_.rays);
    monitor(m.handle);
  }

  void replace_maker(const caf::actor_addr& dead) {
    for (auto& m : makers_)
      if (m.handle.address() == dead) {
        numbers().restarts.fetch_add(1, std::memory_order_relaxed);
        shared().write(severity::warning, "restarting a ray maker");
        start_maker(m);
        shared().registry->set_restarts(m.handle->id(), ++m.restarts);
      }
  }

  void integrate(const change_ptr& c, made_rays& made) {
    if (!made.torn.empty())
      return refuse(c, refusal::torn, "the points changed while they were read: " + made.torn);
    if (made.parts.parts.empty())
      return refuse(c, refusal::empty, nothing_left(made));
    try {
      store_->put({c->id, c->frame.timestamp_ns, c->frame.received_ns, c->frame.world_from_camera, {made.rays}});
    } catch (const std::exception& e) {
      numbers().store_errors.fetch_add(1, std::memory_order_relaxed);
      return refuse(c, refusal::internal, "the keyframe could not be stored: " + std::string{e.what()});
    }
    auto& entry = live_[c->id];
    entry.timestamp_ns = c->frame.timestamp_ns;
    entry.received_ns = c->frame.received_ns;
    entry.rays = made.rays->size();
    c->parts = std::move(made.parts);
    entry.placements.push_back(make_placement(c->id, c->frame.world_from_camera, c->parts));
    const auto rays = entry.rays;
    c->next = [this, c, rays] {
      if (!c->refused.empty())
        return undo_integrate(c);
      numbers().points.fetch_add(c->points, std::memory_order_relaxed);
      numbers().rays.fetch_add(rays, std::memory_order_relaxed);
      tell_camera(c->id, c->frame.timestamp_ns, c->frame.world_from_camera, false);
      count_store();
      finish(c, {});
    };
    send_parts(c, c->parts, +1, entry.placements.back(), c->frame.timestamp_ns, c->frame.received_ns);
    settle(c);
  }

  static std::string nothing_left(const made_rays& made) {
    const auto& n = made.counts;
    auto text = "no point can be used: " + std::to_string(n.not_finite) + " not finite, " + std::to_string(n.out_of_range)
                + " out of range, " + std::to_string(n.low_confidence) + " of low confidence";
    if (n.beyond_map + made.beyond > 0)
      text += ", " + std::to_string(n.beyond_map + made.beyond) + " beyond the map's 2^19 voxels";
    return text;
  }

  /// Some region had no room: takes the keyframe out of the others, so that it is in none.
  void undo_integrate(const change_ptr& c) {
    c->next = [this, c, reason = no_room(c)] { refuse(c, refusal::memory, reason); };
    take_out(c, live_.at(c->id).placements.front(), c->parts);
    live_.erase(c->id);
    forget(c->id);
    settle(c);
  }

  static std::string no_room(const change_ptr& c) {
    return "there is no room for it in " + std::to_string(c->refused.size()) + " of its regions: " + c->refused.front().second;
  }

  // -- a keyframe goes ----------------------------------------------------------

  void start_retract(const change_ptr& c) {
    auto i = live_.find(c->id);
    if (i == live_.end())
      return finish(c, {outcome::unknown, {}});
    const auto parts = split(c->id, i->second.placements.front().world_from_camera);
    if (!parts)
      return refuse(c, refusal::internal, "the keyframe's rays could not be read: " + record().last_error());
    c->next = [this, c] { finish(c, {}); };
    take_out(c, i->second.placements.front(), *parts);
    live_.erase(i);
    forget(c->id);
    tell_camera(c->id, 0, {}, true);
    settle(c);
  }

  void forget(const keyframe_id& id) {
    try {
      store_->erase(id);
    } catch (const std::exception& e) {
      store_failed(e); // it is not live; at worst its room is not used again
    }
    count_store();
  }

  // -- a keyframe moves ---------------------------------------------------------

  /// Integrates under the new pose first: if there is no room for that, the keyframe stays where it was.
  void start_revise(const change_ptr& c) {
    auto i = live_.find(c->id);
    if (i == live_.end())
      return finish(c, {outcome::unknown, {}});
    if (i->second.placements.front().world_from_camera == c->target)
      return finish(c, {});
    auto parts = split(c->id, c->target);
    if (!parts)
      return refuse(c, refusal::internal, "the keyframe's rays could not be read: " + record().last_error());
    if (parts->parts.empty())
      return refuse(c, refusal::pose, "the new pose moves the whole keyframe beyond the map's 2^19 voxels");
    c->parts = std::move(*parts);
    i->second.placements.push_back(make_placement(c->id, c->target, c->parts));
    c->next = [this, c] {
      if (c->refused.empty())
        end_revise(c);
      else
        undo_revise(c, refusal::memory, no_room(c));
    };
    send_parts(c, c->parts, +1, i->second.placements.back(), i->second.timestamp_ns, i->second.received_ns);
    settle(c);
  }

  void end_revise(const change_ptr& c) {
    auto& entry = live_.at(c->id);
    const auto parts = split(c->id, entry.placements.front().world_from_camera);
    if (!parts)
      return undo_revise(c, refusal::internal, "the keyframe's rays could not be read: " + record().last_error());
    c->next = [this, c] { finish(c, {}); };
    take_out(c, entry.placements.front(), *parts);
    entry.placements.erase(entry.placements.begin());
    store_->set_pose(c->id, c->target);
    tell_camera(c->id, entry.timestamp_ns, c->target, false);
    settle(c);
  }

  void undo_revise(const change_ptr& c, refusal why, const std::string& reason) {
    auto& entry = live_.at(c->id);
    c->next = [this, c, why, reason] { refuse(c, why, reason); };
    take_out(c, entry.placements.back(), c->parts);
    entry.placements.pop_back();
    settle(c);
  }

  // -- sending parts --------------------------------------------------------------

  placement make_placement(const keyframe_id& id, const pose& world_from_camera, const partition& parts) {
    placement out{++serials_, world_from_camera, {}};
    out.regions.reserve(parts.parts.size());
    for (const auto& part : parts.parts)
      out.regions.push_back(part.region);
    std::sort(out.regions.begin(), out.regions.end());
    id_of_[out.serial] = id;
    return out;
  }

  /// Splits a stored keyframe's rays by region; nothing if they cannot be read.
  std::optional<partition> split(const keyframe_id& id, const pose& world_from_camera) {
    try {
      auto stored = store_->get(id);
      if (!stored)
        throw std::logic_error("keyframe " + id.value + " is live but not in the store");
      uint64_t beyond = 0;
      return config_.rays.split(config_.map, *stored->rays.rays, world_from_camera, beyond);
    } catch (const std::exception& e) {
      store_failed(e);
      return {};
    }
  }

  void store_failed(const std::exception& e) {
    numbers().store_errors.fetch_add(1, std::memory_order_relaxed);
    record().set_error(e.what());
    shared().write(severity::error, "partitioner: " + std::string{e.what()});
  }

  /// Sends each region of the placement its part. The caller calls settle() when it is done itself.
  void send_parts(const change_ptr& c, const partition& parts, int32_t sign, const placement& place, uint64_t keyframe_ns,
                  uint64_t received_ns) {
    c->refused.clear();
    c->waits_for = 1; // the caller
    for (const auto& part : parts.parts) {
      if (!place.in(part.region))
        continue; // it had no room for it
      if (sign < 0 && book_.cancel(part.region, place.serial))
        continue; // its mesher is new and was not sent this yet
      ++c->waits_for;
      send_job(part.region, {parts.batch, part.first, part.count, place.world_from_camera, sign, keyframe_ns, received_ns}, {c, 0});
    }
  }

  /// Retracts a placement from all its regions. The caller calls settle() when it has taken the placement off the list.
  void take_out(const change_ptr& c, const placement& place, const partition& parts) {
    id_of_.erase(place.serial);
    send_parts(c, parts, -1, place, 0, 0);
    end_refills();
  }

  /// One part, or the sending itself, is done.
  void settle(const change_ptr& c) {
    if (c->waits_for > 0 && --c->waits_for == 0 && c->next) {
      auto next = std::exchange(c->next, nullptr);
      next();
    }
  }

  // -- meshers --------------------------------------------------------------------

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
    bool asked = false; ///< the supervisor was asked for the mesher
    bool down = false;  ///< the mesher was found dead; a refill is to come
    std::vector<std::pair<uint64_t, ray_job>> held_back; ///< jobs for when there is a mesher
    std::set<uint64_t> jobs; ///< sent to this mesher and not answered
  };

  void send_job(const region_key& region, ray_job job, purpose why) {
    const auto token = ++tokens_;
    sent_.emplace(token, sent_job{region, job.sign > 0, std::move(why)});
    auto& entry = regions_[region];
    entry.jobs.insert(token);
    if (entry.mesher)
      return hand_over(region, entry, token, std::move(job));
    entry.held_back.emplace_back(token, std::move(job));
    if (std::exchange(entry.asked, true))
      return;
    request(supervisor_, config_.request_timeout, place_atom::value, region)
      .then([this, region](const mesher_actor& mesher) { placed(region, mesher); },
            [this, region](caf::error& err) { not_placed(region, err); });
  }

  void hand_over(const region_key& region, region_entry& entry, uint64_t token, ray_job job) {
    request(entry.mesher, config_.request_timeout, integrate_atom::value, std::move(job))
      .then([this, token] { answered(token); },
            [this, token, region](caf::error& err) { lost(token, region, err); });
  }

  void placed(const region_key& region, const mesher_actor& mesher) {
    auto& entry = regions_[region];
    if (!entry.mesher) // else a refill came first
      entry.mesher = mesher;
    for (auto& [token, job] : std::exchange(entry.held_back, {}))
      hand_over(region, entry, token, std::move(job));
  }

  void not_placed(const region_key& region, const caf::error& err) {
    auto& entry = regions_[region];
    entry.asked = false;
    const auto text = describe(err);
    record().set_error(text);
    for (auto& [token, job] : std::exchange(entry.held_back, {})) {
      if (auto i = sent_.find(token); i != sent_.end())
        not_taken(i->second, text);
      answered(token);
    }
  }

  /// A region had no room for what a change adds: the change will be undone, and this region has nothing to undo.
  void not_taken(const sent_job& job, const std::string& reason) {
    const auto& c = job.why.for_change;
    if (!c || !job.adds)
      return;
    c->refused.emplace_back(job.region, reason);
    std::erase(live_.at(c->id).placements.back().regions, job.region);
  }

  /// A job is done, or will be by its mesher's successor.
  void answered(uint64_t token) {
    auto i = sent_.find(token);
    if (i == sent_.end())
      return; // answered by a refill
    auto job = std::move(i->second);
    sent_.erase(i);
    regions_[job.region].jobs.erase(token);
    if (job.why.for_change)
      return settle(job.why.for_change);
    --refill_jobs_;
    end_refill(job.region);
    refill_step();
  }

  void lost(uint64_t token, const region_key& region, const caf::error& err) {
    auto i = sent_.find(token);
    if (i == sent_.end())
      return;
    switch (loss_of(err)) {
      case loss::refused:
        if (i->second.why.for_change) {
          not_taken(i->second, describe(err));
        } else if (id_of_.contains(i->second.why.refills)) {
          book_.put_back(region, i->second.why.refills);
          refill_later(memory_pause);
        }
        break;
      case loss::late:
        record().set_error("a mesher did not answer in time");
        break;
      case loss::dead:
        regions_[region].down = true;
        break;
    }
    answered(token);
  }

  // -- refills ----------------------------------------------------------------------

  void refill(const region_key& region, const mesher_actor& mesher) {
    auto& entry = regions_[region];
    entry.mesher = mesher;
    entry.down = false;
    std::set<uint64_t> placements;
    for (const auto& [id, keyframe] : live_)
      for (const auto& place : keyframe.placements)
        if (place.in(region))
          placements.insert(place.serial);
    entry.held_back.clear(); // covered by the set above, like all that was sent to the dead mesher
    book_.start(region, std::move(placements));
    for (auto token : std::set<uint64_t>{entry.jobs})
      answered(token);
    end_refill(region);
    restart_gathers();
    refill_step();
  }

  void refill_later(std::chrono::milliseconds pause) {
    if (std::exchange(refill_tick_, true))
      return;
    if (pause.count() > 0)
      delayed_send(partitioner_self{this}, pause, caf::tick_atom::value);
    else
      send(partitioner_self{this}, caf::tick_atom::value);
  }

  /// Sends the next keyframe that a new mesher lacks: one at a time, so that changes come in between.
  void refill_step() {
    if (refill_tick_ || refill_jobs_ >= config_.refill_credit)
      return;
    auto due = book_.take();
    if (!due)
      return;
    const auto id = id_of_.at(due->placement); // what is taken out is cancelled in the book
    const placement* place = nullptr;
    for (const auto& p : live_.at(id).placements)
      if (p.serial == due->placement)
        place = &p;
    if (auto parts = split(id, place->world_from_camera)) {
      for (const auto& part : parts->parts) {
        if (std::find(due->regions.begin(), due->regions.end(), part.region) == due->regions.end())
          continue;
        ++refill_jobs_;
        send_job(part.region, {parts->batch, part.first, part.count, place->world_from_camera, +1, 0, 0}, {nullptr, due->placement});
      }
    }
    for (const auto& region : due->regions)
      end_refill(region);
    refill_later(std::chrono::milliseconds{0});
  }

  /// Tells the region's mesher when it has all.
  void end_refill(const region_key& region) {
    if (!book_.active(region) || !book_.all_sent(region))
      return;
    const auto& entry = regions_[region];
    for (auto token : entry.jobs)
      if (!sent_.at(token).why.for_change)
        return;
    book_.finish(region);
    if (entry.mesher) // else one that starts empty
      send(entry.mesher, refill_atom::value, false);
    try_gathers();
  }

  void end_refills() {
    for (const auto& region : book_.regions())
      end_refill(region);
  }

  // -- sums over all regions ----------------------------------------------------------

  /// Something that is asked of all meshers, after all changes that came before it.
  struct gather_job {
    uint64_t after; ///< changes up to this number must be done
    int attempts = 0;
    std::function<void(const std::shared_ptr<gather_job>&)> launch;
    std::function<void(const caf::error&)> fail;
    std::function<void()> forget; ///< lets go of the asker
  };
  using gather_ptr = std::shared_ptr<gather_job>;

  /// Asks every mesher and answers the promise with `make(answers)`.
  template <class T, class Atom, class Promise, class Make>
  void gather(Atom question, Promise answer_to, Make make) {
    // Whatever waits for answers holds the promise through this, so that it can be taken from all of them at once.
    auto promise = std::make_shared<Promise>(std::move(answer_to));
    auto g = std::make_shared<gather_job>();
    g->after = changes_seen_;
    g->fail = [promise](const caf::error& err) { std::exchange(*promise, {}).deliver(err); };
    g->forget = [promise] { *promise = {}; };
    g->launch = [this, question, promise, make](const gather_ptr& self) {
      auto answers = std::make_shared<std::vector<T>>();
      size_t asked = 0;
      for (const auto& [region, entry] : regions_)
        asked += entry.mesher ? 1 : 0;
      if (asked == 0) {
        std::exchange(*promise, {}).deliver(make(*answers));
        return;
      }
      const auto attempt = ++self->attempts;
      running_.push_back(self);
      for (const auto& [region, entry] : regions_) {
        if (!entry.mesher)
          continue;
        request(entry.mesher, config_.request_timeout, question)
          .then(
            [this, answers, asked, self, attempt, promise, make](T& answer) {
              if (self->attempts != attempt)
                return; // it was started again
              answers->push_back(std::move(answer));
              if (answers->size() < asked)
                return;
              std::erase(running_, self);
              std::sort(answers->begin(), answers->end(), [](const T& x, const T& y) { return x.region < y.region; });
              std::exchange(*promise, {}).deliver(make(*answers));
            },
            [this, self, attempt, at = region, mesher = entry.mesher](caf::error& err) {
              const auto dead = loss_of(err) == loss::dead;
              if (dead && regions_[at].mesher == mesher)
                regions_[at].down = true; // its successor is on its way
              if (self->attempts != attempt)
                return;
              if (dead)
                restart(self);
              else
                give_up(self, err);
            });
      }
    };
    gathers_.push_back(std::move(g));
    try_gathers();
  }

  /// A mesher died under it: asks all again when there is a new one.
  void restart(gather_ptr g) {
    if (g->attempts >= gather_attempts)
      return give_up(g, caf::make_error(ec::restarting, std::string{"regions keep being started again"}));
    ++g->attempts; // answers to the last attempt no longer count
    std::erase(running_, g);
    gathers_.push_back(std::move(g));
    try_gathers();
  }

  void restart_gathers() {
    for (const auto& g : std::vector<gather_ptr>{running_})
      restart(g);
  }

  void give_up(const gather_ptr& g, const caf::error& err) {
    ++g->attempts;
    std::erase(running_, g);
    g->fail(err);
  }

  /// Starts the sums whose time has come: nothing before them is open, and no region is down or being refilled.
  void try_gathers() {
    if (gathers_.empty() || !book_.empty())
      return;
    for (const auto& [region, entry] : regions_)
      if (entry.down)
        return;
    std::vector<gather_ptr> now_due;
    std::erase_if(gathers_, [&](const gather_ptr& g) {
      const auto is_due = open_.empty() || *open_.begin() > g->after;
      if (is_due)
        now_due.push_back(g);
      return is_due;
    });
    for (const auto& g : now_due)
      g->launch(g);
  }

  map_status sum(const std::vector<region_status>& answers) const {
    map_status out;
    out.epoch = config_.epoch;
    out.keyframes = live_.size();
    for (const auto& [id, keyframe] : live_)
      out.rays += keyframe.rays;
    out.voxel_m = config_.map.voxel_m;
    out.truncation_m = config_.map.truncation_m;
    out.region_voxels = config_.map.region_voxels;
    const auto edge = config_.map.voxel_m * static_cast<float>(config_.map.region_voxels);
    for (const auto& r : answers) {
      out.field.hash += r.field.hash;
      out.field.blocks += r.field.blocks;
      out.field.voxels += r.field.voxels;
      out.field.bytes += r.field.bytes;
      out.vertices += r.vertices;
      out.triangles += r.triangles;
      if (r.field.blocks == 0)
        continue;
      const std::array<int32_t, 3> key{r.region.x, r.region.y, r.region.z};
      for (size_t i = 0; i < 3; ++i) {
        const auto low = static_cast<float>(key[i]) * edge;
        const auto high = low + edge;
        out.bounds[i] = out.regions == 0 ? low : std::min(out.bounds[i], low);
        out.bounds[i + 3] = out.regions == 0 ? high : std::max(out.bounds[i + 3], high);
      }
      ++out.regions;
    }
    return out;
  }

  // -- telling others -------------------------------------------------------------------

  void tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone) {
    send(broadcaster_, camera_atom::value, std::vector<camera>{{id, timestamp_ns, world_from_camera, gone}});
  }

  /// In the order in which they came, since a broadcaster keeps the newest.
  void tell_all_cameras() {
    std::vector<camera> all;
    for (const auto& id : store_->ids())
      if (auto i = live_.find(id); i != live_.end())
        all.push_back({id, i->second.timestamp_ns, i->second.placements.front().world_from_camera, false});
    send(broadcaster_, camera_atom::value, std::move(all));
  }

  void count_store() {
    const auto usage = store_->usage();
    auto& n = numbers();
    n.live_keyframes.store(static_cast<int64_t>(usage.keyframes), std::memory_order_relaxed);
    n.live_rays.store(static_cast<int64_t>(usage.rays), std::memory_order_relaxed);
    n.store_memory_bytes.store(static_cast<int64_t>(usage.memory_bytes), std::memory_order_relaxed);
    n.store_disk_bytes.store(static_cast<int64_t>(usage.disk_bytes), std::memory_order_relaxed);
    record().set_detail(std::to_string(live_.size()) + " live keyframes, " + std::to_string(regions_.size()) + " regions, "
                        + std::to_string(open_.size()) + " changes under way, " + std::to_string(sent_.size()) + " jobs sent, "
                        + std::to_string(book_.regions().size()) + " regions being refilled");
  }

  supervisor_actor supervisor_;
  broadcaster_actor broadcaster_;
  std::shared_ptr<keyframe_store> store_;
  partitioner_config config_;
  std::vector<maker> makers_;

  std::unordered_map<keyframe_id, live_keyframe> live_;
  std::unordered_map<uint64_t, keyframe_id> id_of_; ///< by placement
  std::unordered_map<keyframe_id, std::deque<change_ptr>> changes_;
  std::set<uint64_t> open_; ///< numbers of the changes under way

  std::unordered_map<region_key, region_entry> regions_;
  std::unordered_map<uint64_t, sent_job> sent_; ///< by token
  refill_book book_;
  uint64_t refill_jobs_ = 0;
  bool refill_tick_ = false;
  std::vector<gather_ptr> gathers_; ///< wait for their time
  std::vector<gather_ptr> running_; ///< wait for answers

  uint64_t changes_seen_ = 0, serials_ = 0, tokens_ = 0;
};

} // namespace

partitioner_setup spawn_partitioner(caf::actor_system& system, actor_context context, supervisor_actor supervisor,
                                    broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store, partitioner_config config) {
  if (config.own_thread)
    return system.spawn<partitioner, caf::detached>(std::move(context), std::move(supervisor), std::move(broadcaster), std::move(store),
                                                    std::move(config));
  return system.spawn<partitioner>(std::move(context), std::move(supervisor), std::move(broadcaster), std::move(store),
                                   std::move(config));
}

} // namespace tessera
