#pragma once

#include "actors/base/log.hpp"
#include "actors/regions/mesh_digest.hpp"
#include "messages/ids.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>

namespace tessera {

/// The surface of a region that viewers were told of last.
struct told_surface {
  uint64_t version = 0;
  mesh_digest digest;
  friend bool operator==(const told_surface&, const told_surface&) = default;
};

/// Under which version each region's surface was told to viewers, in a file beside the journal: the next process tells the same
/// surface under the same version, so that viewers who come back need not be sent it again. The file names the epoch, which goes
/// on as long as the file can be read and written.
///
/// What was told in the last seconds before a crash is not in it, and nothing else depends on it. Versions of a process are above
/// those of all before it, by the time of day and by what the file says. A file that was copied, or that a program of another
/// version wrote, begins a new epoch. docs/journal.md, "The epoch".
///
/// Threads: any.
class told_surfaces {
public:
  /// How long what was told may be missing in the file.
  static constexpr std::chrono::seconds lag{5};

  /// Reads the file and writes it anew; if that cannot be, the log says why and a new epoch begins. `fresh`: what is there is of
  /// another map. `own_thread`: writes it from time to time, else stop() does. Throws std::system_error if there can be no
  /// thread.
  told_surfaces(std::string file, bool fresh, log_function log = {}, bool own_thread = true);
  /// As stop().
  ~told_surfaces();
  told_surfaces(const told_surfaces&) = delete;
  told_surfaces& operator=(const told_surfaces&) = delete;

  [[nodiscard]] const std::string& epoch() const { return epoch_; }
  /// Regions of whose surfaces earlier processes told.
  [[nodiscard]] size_t kept() const;
  /// The versions of earlier processes are below this one, in units of 2^32.
  [[nodiscard]] uint64_t first_number() const { return first_; }

  /// What an earlier process told of the region last, once: from then on this process tells.
  [[nodiscard]] std::optional<told_surface> take_kept(const region_key& region);
  /// What earlier processes told of regions that are not there any more.
  void forget_kept();
  void tell(const region_key& region, const told_surface& surface);
  /// Viewers were told that the region is empty.
  void erase(const region_key& region);

  /// Writes what changed, and ends the thread.
  void stop();

private:
  struct entry {
    told_surface its;
    bool kept = false; ///< of an earlier process, and nobody took it
  };

  void read();
  /// One at a time. Throws std::system_error, std::bad_alloc.
  void write();
  void write_if_changed() noexcept;
  void work();

  const std::string file_;
  const log_function log_;
  std::string epoch_;
  uint64_t first_ = 0;

  std::mutex writing_;       ///< taken before the other
  mutable std::mutex mutex_; ///< of all that follows; nobody has it who waits for the disk
  std::condition_variable changed_;
  std::unordered_map<region_key, entry> surfaces_;
  uint64_t reserved_ = 0; ///< by the file, numbers up to this one are ours
  bool dirty_ = false, stopped_ = false, failed_ = false;
  std::jthread thread_;
};

/// Names a run of a service, or what goes on over several: 64 random bits.
std::string random_epoch();

} // namespace tessera
