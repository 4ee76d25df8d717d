#pragma once

#include "gpu/fields.hpp"
#include "messages/ids.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// The devices that hold the map now: what they are, and where their blocks are. Threads: any.
class device_board {
public:
  /// Tells where a device's blocks are; nothing if it is gone. Called in whatever thread asks; must not wait.
  using probe = std::function<std::optional<memory_status>()>;

  struct entry {
    device_id id;
    std::string name;
    std::optional<memory_status> memory; ///< of a GPU
  };

  /// A device is used from now on.
  void put(device_id id, std::string name, probe memory = {});
  /// A device is not used any more.
  void remove(device_id id);
  [[nodiscard]] std::vector<entry> list() const;
  /// The device's name; empty if it is not used.
  [[nodiscard]] std::string name_of(device_id id) const;
  /// The names of all: cpu, or those of the GPUs, each once with how many there are of it.
  [[nodiscard]] std::string names() const;

private:
  struct device {
    std::string name;
    probe memory;
  };
  mutable std::mutex mutex_;
  std::map<device_id, device> devices_;
};

} // namespace tessera
