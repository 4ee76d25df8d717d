// Keyframes that come, go and move: what each change has devices take, and the store do.

#include "actors/intake/keyframe_check.hpp"
#include "actors/intake/no_points.hpp"
#include "actors/map/partitioner_class.hpp"
#include "actors/map/same_rays.hpp"
#include "messages/moved_pose.hpp"

namespace tessera::detail {

namespace {

/// What is done with each kind of input; a kind that is missing does not compile.
template <class... F>
struct each : F... {
  using F::operator()...;
};
template <class... F>
each(F...) -> each<F...>;

} // namespace

caf::typed_response_promise<verdict> partitioner::add(const change_ptr& c) {
  const auto out = promise(c->number);
  if (const auto* frame = std::get_if<keyframe>(&c->what))
    c->born = live_.groups().find(frame->group);
  const auto first = changes_.add(c);
  if (must_wait(c))
    recovery_.hurry(c->id());
  else if (first)
    start(c);
  return out;
}

caf::typed_response_promise<verdict> partitioner::promise(uint64_t number) {
  return promises_[number] = make_response_promise<caf::typed_response_promise<verdict>>();
}

void partitioner::answer(uint64_t number, verdict v) {
  promises_.extract(number).mapped().deliver(std::move(v));
}

void partitioner::start(const change_ptr& c) {
  c->started = true;
  if (c->forgets)
    return start_forgetting(c);
  if (c->suspected)
    return start_suspected(c);
  if (c->part_of) {
    batches_.queue(c);
    return run_batches();
  }
  std::visit(each{[&](const keyframe&) { start_integrate(c); }, [&](const revision&) { start_revise(c); },
                  [&](const retraction&) { start_retract(c); }},
             c->what);
}

void partitioner::refuse(const change_ptr& c, refusal why, const std::string& reason) {
  numbers().count_refused(why);
  numbers().set_aside.add("map", shown(c->id()), reason);
  finish(c, {outcome::refused, reason});
}

void partitioner::not_now(const change_ptr& c, hindered by) {
  finish(c, numbers().count_not_now(std::move(by)));
}

void partitioner::finish(const change_ptr& c, verdict v) {
  if (c->suspected)
    return end_suspected(c);
  auto& n = numbers();
  auto count = [](telemetry::counter& x) { x.fetch_add(1, std::memory_order_relaxed); };
  if (v.what == outcome::accepted) {
    std::visit(each{[&](const keyframe&) { count(n.accepted), n.shortage.clear(); }, [&](const revision&) { count(n.revised); },
                    [&](const retraction&) { count(c->forgets ? n.forgotten : n.retracted); }},
               c->what);
  } else if (v.what == outcome::duplicate) {
    count(n.duplicate);
  } else if (v.what == outcome::conflict) {
    count(n.conflicts);
  } else if (v.what == outcome::retracted) {
    count(n.kept_out);
  } else if (v.what == outcome::unknown && !c->forgets && !(c->part_of && c->part_of->clears)) {
    count(n.unknown);
  }
  if (c->part_of) {
    end_part(c, v);
  } else {
    const auto next = changes_.finish(*c);
    if (c->forgets)
      forgot(c, v);
    else
      answer(c->number, std::move(v));
    if (next && !must_wait(next))
      start(next);
    collect_all();
  }
  try_gathers();
}

void partitioner::start_integrate(const change_ptr& c) {
  if (const auto its = numbers().quarantine.find(c->id())) {
    c->frame().body.reset();
    return refuse(c, refusal::quarantined, why_out(*its));
  }
  if (live_.contains(c->id()))
    return start_compare(c);
  if (store_.retracted(c->id()))
    return keep_out(c);
  const auto t = std::make_shared<take>();
  t->make = [c] {
    take_request what;
    what.body = c->frame().body;
    what.world_from_camera = c->frame().world_from_camera;
    what.keep_rays = true;
    return std::optional{what};
  };
  t->done = [this, c](taken& all) { integrated(c, all); };
  ask(t);
}

void partitioner::not_integrated(const change_ptr& c, const caf::error& err) {
  if (auto* frame = std::get_if<keyframe>(&c->what)) // or a revision, which has no points
    frame->body.reset();
  if (err == ec::torn)
    return not_now(c, {hindrance::torn, describe(err)});
  if (err == ec::bad_keyframe)
    return refuse(c, refusal::points, context_of(err));
  if (is_device_loss(err)) {
    const auto* frame = std::get_if<keyframe>(&c->what);
    if (frame == nullptr || live_.contains(c->id())) // it stays as it is
      return refuse(c, refusal::internal, device_reason(config_.most_losses));
    return enter_quarantine({c->id(), frame->source, frame->group, frame->timestamp_ns, device_reason(config_.most_losses),
                             system_ns(), config_.most_losses},
                            [this, c] {
                              numbers().count_refused(refusal::internal);
                              finish(c, {outcome::refused, device_reason(config_.most_losses)});
                            });
  }
  auto by = hindered_by(err);
  by.text.insert(0, by.why == hindrance::room ? "the map is full: there is no room for the keyframe: "
                                              : "the keyframe cannot be taken: ");
  not_now(c, std::move(by));
}

void partitioner::integrated(const change_ptr& c, taken& t) {
  if (is_want_of_memory(t.failure) && regions_.any_emptied() && !std::exchange(c->made_room, true))
    return when_quiet([this, c] { start_integrate(c); }); // by then what holds nothing has been given back
  if (t.failure)
    return not_integrated(c, t.failure);
  const auto points = c->frame().body->size();
  c->frame().body.reset();
  auto& report = t.report;
  if (report.regions.empty())
    return refuse(c, refusal::empty, no_points_text(config_.map, report.counts, report.beyond));
  const ray_batch rays{std::make_shared<const std::vector<ray>>(std::move(report.kept))};
  const auto& at = c->frame().world_from_camera;
  live_.enter(c->id(), {c->frame().timestamp_ns, c->frame().received_ns, rays.rays->size(), at, c->frame().source,
                        c->frame().group, c->born, c->frame().admission});
  const auto& in = insert(c->id(), at, std::move(report.regions));
  // Viewers need not wait for the disk: what they see is no promise, and goes again if it cannot be stored. Where it could not be
  // a moment ago they do, else they would see it come and go.
  const auto told = stores_;
  if (told)
    touch(in.regions, c->frame().timestamp_ns, c->frame().received_ns);
  if (recovery_.is_left_out(c->id())) // what is in the store under its id could not be taken, and this one can
    store_.erase(c->id(),
                 [this, id = c->id()](store_answer& a) { a.failure ? (void)store_failed(a.failure) : recovery_.forget(id); });
  store_.put({c->id(), c->frame().timestamp_ns, c->frame().received_ns, at, rays, at, c->frame().source, c->frame().group,
              c->born, c->frame().admission, reach_of(in)},
             [this, c, serial = in.serial, rays, points, told](store_answer& a) {
               if (!a.failure && !a.done)
                 a.failure = std::make_exception_ptr(std::logic_error("the store has another keyframe " + shown(c->id())));
               if (a.failure)
                 not_stored(c, serial, rays, a.failure);
               else
                 stored(c, points, told);
             });
}

void partitioner::stored(const change_ptr& c, size_t points, bool told) {
  auto& entry = live_.at(c->id());
  entry.stored = true;
  stores_ = true;
  if (!told)
    touch(entry.insertions.front().regions, entry.timestamp_ns, entry.received_ns);
  numbers().points.fetch_add(points, std::memory_order_relaxed);
  numbers().rays.fetch_add(entry.rays, std::memory_order_relaxed);
  tell_camera(c->id(), entry.timestamp_ns, entry.insertions.front().world_from_camera, false);
  count_store();
  kept_.enter(c->id(), entry.rays, now());
  finish(c, {});
  forget_on();
}

void partitioner::not_stored(const change_ptr& c, uint64_t serial, const ray_batch& rays, const std::exception_ptr& thrown) {
  auto by = store_failed(thrown);
  stores_ = false;
  by.text.insert(0, "the keyframe could not be stored: ");
  // Queued like any other, not as the rest of the change: the failure may be heard of late, and nothing waits for it.
  take_out(c, serial, rays, [this, c, by] {
    live_.erase(c->id());
    not_now(c, by);
  });
}

void partitioner::start_compare(const change_ptr& c) {
  const auto handle = devices_.devices.at(turn_++ % devices_.devices.size()).handle;
  request(handle, caf::infinite, rays_atom::value, c->frame())
    .then(
      [this, c](made_rays& made) {
        c->frame().body.reset();
        compare(c, made);
      },
      [this, c, handle](caf::error& err) {
        if (is_device_loss(err) && (c->losses += err == ec::device_failed ? 1 : 0) < config_.most_losses)
          return with_others(handle, [this, c] { start_compare(c); });
        not_integrated(c, err);
      });
}

void partitioner::compare(const change_ptr& c, made_rays& made) {
  const auto& live = live_.at(c->id());
  if (made.rays.empty())
    return refuse(c, refusal::empty, no_points_text(config_.map, made.counts, 0));
  const auto& at = c->frame().world_from_camera;
  if (at != live.came_with && at != live.insertions.front().world_from_camera)
    return conflict(c, "another pose");
  if (made.rays.size() != live.rays)
    return conflict(c, "other points");
  read(c, [this, c, rays = std::make_shared<const std::vector<ray>>(std::move(made.rays))](const ray_batch& live_rays) {
    if (!same_rays(*rays, *live_rays.rays))
      return conflict(c, "other points");
    finish(c, {outcome::duplicate, {}});
  });
}

void partitioner::conflict(const change_ptr& c, const char* other) {
  auto reason = "keyframe_id " + shown(c->id()) + " is live already, with " + other
                + ": give this keyframe another id or another session, or take the live one out first";
  numbers().set_aside.add("map", shown(c->id()), reason);
  finish(c, {outcome::conflict, std::move(reason)});
}

void partitioner::read(const change_ptr& c, std::function<void(const ray_batch&)> next) {
  store_.get(c->id(), [this, c, next = std::move(next)](store_answer& a) {
    if (!a.failure && !a.frame)
      a.failure = std::make_exception_ptr(std::logic_error("keyframe " + shown(c->id()) + " is live but not in the store"));
    if (!a.failure)
      return next(a.frame->rays);
    auto by = store_failed(a.failure);
    if (is_damage(a.failure))
      return made_without(c->id());
    by.text.insert(0, "the keyframe's rays could not be read: ");
    not_now(c, std::move(by));
  });
}

void partitioner::start_retract(const change_ptr& c) {
  if (numbers().quarantine.find(c->id()))
    return release(c);
  if (recovery_.is_left_out(c->id()))
    return retract_from_store(c);
  if (!live_.contains(c->id()))
    return c->remembers() ? remember(c) : finish(c, {outcome::unknown, {}});
  read(c, [this, c](const ray_batch& rays) {
    take_out(c, live_.at(c->id()).insertions.front().serial, rays, [this, c] {
      live_.erase(c->id());
      tell_camera(c->id(), 0, {}, true);
      retract_from_store(c);
    });
  });
}

void partitioner::retract_from_store(const change_ptr& c) {
  store_.erase(c->id(), [this, c](store_answer& a) {
    if (a.failure) { // else it would be there again after the next start
      store_failed(a.failure);
      return later(memory_pause, [this, c] { retract_from_store(c); });
    }
    recovery_.forget(c->id());
    kept_.erase(c->id());
    count_store();
    finish(c, {});
  });
}

void partitioner::take_out(const change_ptr& c, uint64_t serial, const ray_batch& rays, std::function<void()> next) {
  const auto continues = std::holds_alternative<revision>(c->what); // under the new pose it is there
  live_.inserted(serial).leaving = true;
  if (book_.being_taken(serial)) {
    unfinished_ += continues ? 1 : 0;
    after_refill_[serial].push_back([this, c, serial, rays, continues, next] {
      unfinished_ -= continues ? 1 : 0;
      take_out(c, serial, rays, next);
    });
    return;
  }
  const auto t = std::make_shared<take>();
  t->continues = continues;
  t->make = [this, serial, rays, lacking = std::set<region_key>{}]() mutable -> std::optional<take_request> {
    const auto& where = live_.inserted(serial);
    take_request what;
    for (const auto& region : where.regions) {
      if (book_.cancel(region, serial))
        lacking.insert(region); // its field was lost, and did not get this again
      if (!lacking.contains(region))
        what.only.push_back(region);
    }
    if (what.only.empty())
      return {};
    if (lacking.empty())
      what.only.clear(); // all that it touches
    what.rays = rays;
    what.world_from_camera = where.world_from_camera;
    what.sign = -1;
    return what;
  };
  t->done = [this, c, serial, weak = std::weak_ptr{t}, next](taken& all) {
    if (is_want_of_memory(all.failure)) {
      const auto same = weak.lock();
      unfinished_ += same->continues ? 1 : 0;
      return later(memory_pause, [this, same] {
        unfinished_ -= same->continues ? 1 : 0;
        ask(same);
      });
    }
    if (all.failure)
      return quit(all.failure); // a successor has all fields filled again
    const auto regions = live_.inserted(serial).regions;
    remove(serial);
    touch(regions, 0, 0, c->part_of != nullptr);
    for (const auto& region : regions)
      end_refill(region); // it may have been all that was lacking
    next();
  };
  ask(t);
}

void partitioner::start_revise(const change_ptr& c) {
  if (numbers().quarantine.find(c->id()))
    return finish(c, {outcome::unknown, {}});
  if (recovery_.is_left_out(c->id()))
    return not_now(c,
                   {hindrance::room, "keyframe " + shown(c->id()) + " is in the store, and there was no room for it in the map"});
  const auto* live = live_.find(c->id());
  if (live == nullptr)
    return finish(c, {outcome::unknown, {}});
  auto& to = std::get<revision>(c->what);
  if (to.number && to.number <= live->revision)
    return finish(c, {outcome::duplicate, {}});
  const auto& at = live->insertions.front().world_from_camera;
  if (!c->of_group.empty()) {
    if (live->group != c->of_group) // changes that came before have brought another keyframe of its id
      return finish(c, {outcome::unknown, {}});
    to.world_from_camera = moved_pose(to.world_from_camera, at);
    if (auto fault = check_pose(to.world_from_camera))
      return refuse(c, fault->why, "moved with its group, its " + fault->text);
  }
  if (at == to.world_from_camera)
    return to.number == live->revision ? finish(c, {}) : keep_place(c);
  read(c, [this, c](const ray_batch& rays) {
    const auto t = std::make_shared<take>();
    t->make = [c, rays] {
      take_request what;
      what.rays = rays;
      what.world_from_camera = std::get<revision>(c->what).world_from_camera;
      return std::optional{what};
    };
    t->done = [this, c, rays](taken& all) { revised(c, all, rays); };
    ask(t);
  });
}

void partitioner::revised(const change_ptr& c, taken& t, const ray_batch& rays) {
  if (t.failure == ec::bad_keyframe)
    return refuse(c, refusal::pose, "under the new pose " + context_of(t.failure));
  if (t.failure)
    return not_integrated(c, t.failure);
  if (t.report.regions.empty())
    return refuse(c, refusal::pose, "the new pose moves the whole keyframe beyond the map's 2^19 voxels");
  auto& entry = live_.at(c->id());
  touch(insert(c->id(), std::get<revision>(c->what).world_from_camera, std::move(t.report.regions)).regions, entry.timestamp_ns,
        entry.received_ns, c->part_of != nullptr);
  take_out(c, entry.insertions.front().serial, rays, [this, c] { keep_place(c); });
}

void partitioner::keep_place(const change_ptr& c) {
  const auto& to = std::get<revision>(c->what);
  auto& live = live_.at(c->id());
  live.revision = to.number; // none: those that came before it and are asked for again must count again, to end where they did
  store_.set_place(c->id(), {to.world_from_camera, live.revision, reach_of(live.insertions.front())}, [this, c](store_answer& a) {
    if (a.failure) {
      const auto by = store_failed(a.failure);
      return quit(caf::make_error(ec::store_failed, by.text)); // a successor has it where it was
    }
    tell_camera(c->id(), live_.at(c->id()).timestamp_ns, std::get<revision>(c->what).world_from_camera, false);
    finish(c, {});
  });
}

} // namespace tessera::detail
