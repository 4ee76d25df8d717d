#include "actors/spilling_store.hpp"

namespace tessera {

namespace {

constexpr uint64_t index_bytes = 300; // a list node, a hash node, an id: near enough to bound memory by

} // namespace

spilling_store::spilling_store(uint64_t cap_bytes, std::string folder)
  : cap_bytes_{cap_bytes}, folder_{std::move(folder)}, oldest_in_memory_{order_.end()} {
  page_file probe{folder_}; // a folder that cannot be written is told at the start, not in the middle of a scan
}

page_file& spilling_store::file() {
  if (!file_)
    file_ = std::make_unique<page_file>(folder_);
  return *file_;
}

bool spilling_store::put(stored_keyframe frame) {
  const auto [i, fresh] = index_.try_emplace(frame.id, order_.end());
  if (!fresh)
    return false;
  const auto id = frame.id;
  try {
    if (!frame.rays.rays)
      frame.rays = ray_batch{};
    const auto count = frame.rays.rays->size();
    order_.push_back({std::move(frame), count, {}});
  } catch (...) {
    index_.erase(i);
    throw;
  }
  auto place = std::prev(order_.end());
  i->second = place;
  if (oldest_in_memory_ == order_.end())
    oldest_in_memory_ = place;
  rays_ += place->rays;
  memory_bytes_ += place->bytes();
  try {
    spill();
  } catch (...) {
    erase(id); // what cannot be kept within the cap is not kept at all
    throw;
  }
  return true;
}

void spilling_store::spill() {
  while (memory_bytes_ > cap_bytes_ && oldest_in_memory_ != order_.end()) {
    auto& e = *oldest_in_memory_;
    e.pages = file().write(std::as_bytes(std::span{*e.frame.rays.rays}));
    e.frame.rays.rays.reset();
    memory_bytes_ -= e.bytes();
    ++oldest_in_memory_;
  }
}

stored_keyframe spilling_store::load(const entry& e) const {
  auto frame = e.frame;
  if (!e.in_memory()) {
    auto rays = std::make_shared<std::vector<ray>>(static_cast<size_t>(e.rays));
    if (e.rays > 0)
      file_->read(e.pages, std::as_writable_bytes(std::span{*rays}));
    frame.rays.rays = std::move(rays);
  }
  return frame;
}

std::optional<stored_keyframe> spilling_store::get(const keyframe_id& id) const {
  auto i = index_.find(id);
  if (i == index_.end())
    return {};
  return load(*i->second);
}

bool spilling_store::erase(const keyframe_id& id) {
  auto i = index_.find(id);
  if (i == index_.end())
    return false;
  auto place = i->second;
  if (place->in_memory())
    memory_bytes_ -= place->bytes();
  else
    file_->free(place->pages);
  rays_ -= place->rays;
  if (oldest_in_memory_ == place)
    ++oldest_in_memory_;
  index_.erase(i);
  order_.erase(place);
  return true;
}

bool spilling_store::set_pose(const keyframe_id& id, const pose& world_from_camera) {
  auto i = index_.find(id);
  if (i == index_.end())
    return false;
  i->second->frame.world_from_camera = world_from_camera;
  return true;
}

std::vector<keyframe_id> spilling_store::ids() const {
  std::vector<keyframe_id> out;
  out.reserve(order_.size());
  for (const auto& e : order_)
    out.push_back(e.frame.id);
  return out;
}

void spilling_store::for_each(const std::function<void(const stored_keyframe&)>& visit) const {
  for (const auto& e : order_)
    visit(load(e));
}

store_usage spilling_store::usage() const {
  return {order_.size(), rays_, memory_bytes_ + order_.size() * index_bytes, file_ ? file_->bytes() : 0};
}

} // namespace tessera
