#include "actors/base/actor_registry.hpp"

#include "messages/roles.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace tessera {

actor_record::actor_record(std::string role, std::optional<region_key> region, std::optional<device_id> device)
  : role_{std::move(role)}, region_{region}, device_{device} {}

actor_record::handler& actor_record::add(uint64_t key, std::string name) {
  const auto n = count_.load(std::memory_order_relaxed);
  if (n == max_handlers)
    return *slots_[n - 1];
  auto fresh = std::make_unique<handler>();
  fresh->key = key;
  fresh->name = n + 1 == max_handlers ? "other" : std::move(name);
  slots_[n] = std::move(fresh);
  count_.store(n + 1, std::memory_order_release); // readers see the slot only when it is whole
  return *slots_[n];
}

void actor_record::set_detail(std::string text) {
  std::lock_guard lock{text_mutex_};
  detail_ = std::move(text);
}

void actor_record::set_detail(std::function<std::string()> text) {
  std::lock_guard lock{text_mutex_};
  detail_now_ = std::move(text);
}

void actor_record::set_error(std::string text) {
  std::lock_guard lock{text_mutex_};
  last_error_ = std::move(text);
}

std::string actor_record::last_error() const {
  std::lock_guard lock{text_mutex_};
  return last_error_;
}

std::array<pulse, 2> actor_record::pulses() const noexcept {
  const auto taken = dequeued_.load(std::memory_order_relaxed); // first: what is put in meanwhile only adds
  const auto done = advanced_.load(std::memory_order_relaxed);
  return {pulse{busy_.load(std::memory_order_relaxed) || enqueued_.load(std::memory_order_relaxed) > taken, taken},
          pulse{pending_.load(std::memory_order_relaxed) > 0, done}};
}

std::string actor_record::doing() const {
  const auto taken = dequeued_.load(std::memory_order_relaxed);
  const auto waiting = std::max(enqueued_.load(std::memory_order_relaxed), taken) - taken;
  const auto pending = pending_.load(std::memory_order_relaxed);
  const auto* what = handling_.load(std::memory_order_acquire);
  std::string out;
  if (busy_.load(std::memory_order_relaxed))
    out = what != nullptr ? "handling " + what->name : std::string{"handling a message"};
  const auto add = [&out](uint64_t n, const char* one, const char* many) {
    if (n > 0)
      out += (out.empty() ? "" : ", ") + std::to_string(n) + (n == 1 ? one : many);
  };
  add(waiting, " message waits", " messages wait");
  add(pending, " request is not answered", " requests are not answered");
  return out;
}

std::string actor_record::name() const {
  if (region_)
    return role_ + " of region " + std::to_string(region_->x) + "," + std::to_string(region_->y) + ","
           + std::to_string(region_->z);
  return device_ ? role_ + " " + std::to_string(device_->value) : role_;
}

actor_status actor_record::status() const {
  actor_status out;
  out.role = role_;
  out.id = id_.load(std::memory_order_relaxed);
  out.region = region_;
  out.device = device_;
  out.state = down_.load(std::memory_order_relaxed)      ? "down"
              : stalled_.load(std::memory_order_relaxed) ? "stalled"
              : busy_.load(std::memory_order_relaxed)    ? "busy"
                                                         : "idle";
  const auto taken = dequeued_.load(std::memory_order_relaxed); // first: what is put in meanwhile only adds
  out.mailbox = std::max(enqueued_.load(std::memory_order_relaxed), taken) - taken;
  out.restarts = restarts_.load(std::memory_order_relaxed);
  const auto n = count_.load(std::memory_order_acquire);
  out.handlers.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const auto& h = *slots_[i];
    out.handlers.push_back({h.name, h.times.count(), h.times.quantile_s(0.5), h.times.quantile_s(0.99), h.times.total_s()});
  }
  std::function<std::string()> detail_now;
  {
    std::lock_guard lock{text_mutex_};
    out.detail = detail_;
    out.last_error = last_error_;
    detail_now = detail_now_;
  }
  if (detail_now)
    out.detail = detail_now();
  return out;
}

std::shared_ptr<actor_record> actor_registry::enlist(std::string role, std::optional<region_key> region,
                                                     std::optional<device_id> device) {
  // Not make_shared: the list's weak pointer would keep the memory.
  std::shared_ptr<actor_record> record{new actor_record(std::move(role), region, device)};
  std::lock_guard lock{mutex_};
  if (records_.size() >= sweep_at_)
    sweep();
  records_.push_back(record);
  return record;
}

void actor_registry::sweep() {
  std::erase_if(records_, [](const auto& weak) { return weak.expired(); });
  sweep_at_ = std::max<size_t>(64, records_.size() * 2);
}

size_t actor_registry::existing() const {
  std::lock_guard lock{mutex_};
  return static_cast<size_t>(std::count_if(records_.begin(), records_.end(), [](const auto& weak) { return !weak.expired(); }));
}

void actor_registry::set_restarts(uint64_t id, uint64_t restarts) {
  std::lock_guard lock{mutex_};
  for (const auto& weak : records_)
    if (auto record = weak.lock(); record && record->id() == id)
      record->set_restarts(restarts);
}

std::vector<std::shared_ptr<actor_record>> actor_registry::records() const {
  std::vector<std::shared_ptr<actor_record>> out;
  std::lock_guard lock{mutex_};
  out.reserve(records_.size());
  for (const auto& weak : records_)
    if (auto record = weak.lock())
      out.push_back(std::move(record));
  return out;
}

std::vector<actor_status> actor_registry::statuses() const {
  const auto alive = records();
  std::vector<actor_status> out;
  out.reserve(alive.size());
  std::set<std::string> up{role::mesher, role::session};
  for (const auto& record : alive) {
    out.push_back(record->status());
    if (out.back().state != "down")
      up.insert(out.back().role);
  }
  std::erase_if(out, [&](const actor_status& one) { return one.state == "down" && up.contains(one.role); });
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::tie(a.role, a.id) < std::tie(b.role, b.id); });
  return out;
}

} // namespace tessera
