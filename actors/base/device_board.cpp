#include "actors/base/device_board.hpp"

namespace tessera {

void device_board::put(device_id id, std::string name, probe memory) {
  const std::lock_guard lock{mutex_};
  devices_[id] = {std::move(name), std::move(memory)};
}

void device_board::remove(device_id id) {
  const std::lock_guard lock{mutex_};
  devices_.erase(id);
}

std::vector<device_board::entry> device_board::list() const {
  std::map<device_id, device> now;
  {
    const std::lock_guard lock{mutex_};
    now = devices_;
  }
  std::vector<entry> out;
  for (auto& [id, d] : now)
    out.push_back({id, d.name, d.memory ? d.memory() : std::nullopt});
  return out;
}

std::string device_board::name_of(device_id id) const {
  const std::lock_guard lock{mutex_};
  const auto i = devices_.find(id);
  return i == devices_.end() ? std::string{} : i->second.name;
}

std::string device_board::names() const {
  std::map<std::string, size_t> count;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, d] : devices_)
      ++count[d.name];
  }
  std::string out;
  for (const auto& [name, n] : count)
    out += (out.empty() ? "" : ", ") + (n > 1 ? std::to_string(n) + " x " : std::string{}) + name;
  return out;
}

} // namespace tessera
