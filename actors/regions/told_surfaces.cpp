#include "actors/regions/told_surfaces.hpp"

#include "actors/base/stored_file.hpp"
#include "messages/archive.hpp"
#include "messages/clock.hpp"
#include "messages/thread_name.hpp"
#include "messages/xxh3.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tessera {

// Not in a namespace of its own, where the templates of archives would not be found.
struct told_surfaces_value {
  uint32_t version = 1;
  std::string program = TESSERA_VERSION;
  std::string epoch;
  uint64_t inode = 0;             ///< of the file: a copy has another
  uint64_t next = 0;              ///< the first number of the next process
  std::vector<int32_t> regions;   ///< x, y, z of each
  std::vector<uint64_t> surfaces; ///< version and digest of each
};

template <>
struct message_fields<told_surfaces_value> {
  static constexpr const char* name = "told_surfaces";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(detail::named("version", x.version), detail::named("program", x.program), detail::named("epoch", x.epoch),
             detail::named("inode", x.inode), detail::named("next", x.next), detail::wrapped<bulk_ref>("regions", x.regions),
             detail::wrapped<bulk_ref>("surfaces", x.surfaces));
  }
};

namespace {

constexpr std::array<char, 8> magic{'T', 'S', 'S', 'H', 'O', 'W', 'N', '1'};
constexpr size_t head_bytes = magic.size() + sizeof(uint64_t);
/// Longest name of an epoch.
constexpr size_t most_epoch = 64;
/// So many numbers are reserved at once, before a version of one of them is told.
constexpr uint64_t reserve = uint64_t{1} << 16;
/// So far ahead of the time of day, s, numbers may be: processes that start again and again use them up.
constexpr uint64_t most_ahead = uint64_t{1} << 30;

std::vector<std::byte> bytes_of(const told_surfaces_value& value) {
  const auto its = to_binary(value);
  const uint64_t digest = XXH3_64bits(its.data(), its.size());
  std::vector<std::byte> out(head_bytes + its.size());
  std::memcpy(out.data(), magic.data(), magic.size());
  std::memcpy(out.data() + magic.size(), &digest, sizeof digest);
  std::copy(its.begin(), its.end(), out.begin() + head_bytes);
  return out;
}

/// Throws std::runtime_error.
told_surfaces_value value_of(std::span<const std::byte> file) {
  uint64_t digest = 0;
  if (file.size() < head_bytes || std::memcmp(file.data(), magic.data(), magic.size()) != 0)
    throw std::runtime_error("it does not begin as it should");
  std::memcpy(&digest, file.data() + magic.size(), sizeof digest);
  const auto rest = file.subspan(head_bytes);
  if (XXH3_64bits(rest.data(), rest.size()) != digest)
    throw std::runtime_error("it is not what was written");
  auto out = from_binary<told_surfaces_value>(rest);
  if (out.version != told_surfaces_value{}.version || out.program != told_surfaces_value{}.program)
    throw std::runtime_error("a program of another version wrote it, which may make other patches");
  if (out.epoch.empty() || out.epoch.size() > most_epoch || out.regions.size() % 3 != 0
      || out.surfaces.size() != out.regions.size())
    throw std::runtime_error("its lists are not of the same length");
  return out;
}

uint64_t now_s() {
  return system_ns() / 1'000'000'000;
}

} // namespace

std::string random_epoch() {
  std::random_device device;
  std::string out;
  for (int i = 0; i < 16; ++i)
    out += "0123456789abcdef"[device() & 15];
  return out;
}

told_surfaces::told_surfaces(std::string file, bool fresh, log_function log, bool own_thread)
  : file_{std::move(file)}, log_{std::move(log)}, first_{now_s()} {
  try {
    if (!fresh)
      read();
    if (epoch_.empty())
      epoch_ = random_epoch();
    reserved_ = first_;
    write(); // that it can be
  } catch (const std::exception& e) {
    // Versions that nobody remembers may be given again: then under another epoch.
    if (log_)
      log_(severity::warning, "the epoch does not go on after this run: " + std::string{e.what()});
    surfaces_.clear();
    epoch_ = random_epoch();
  }
  if (own_thread)
    thread_ = std::jthread{[this] {
      name_thread("told_surfaces");
      work();
    }};
}

told_surfaces::~told_surfaces() {
  stop();
}

void told_surfaces::read() {
  try {
    const stored_file file{file_, O_RDONLY};
    auto value = value_of(file.read_all());
    if (value.inode != file.inode())
      throw std::runtime_error("it is a copy, and what was told since is not known");
    if (value.next > first_ + most_ahead)
      throw std::runtime_error("its numbers are used up");
    epoch_ = std::move(value.epoch);
    first_ = std::max(first_, value.next);
    for (size_t i = 0; i < value.regions.size(); i += 3)
      surfaces_.emplace(region_key{value.regions[i], value.regions[i + 1], value.regions[i + 2]},
                        entry{{value.surfaces[i], {value.surfaces[i + 1], value.surfaces[i + 2]}}, true});
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {
    if (log_)
      log_(severity::warning, file_ + " cannot be used, so that viewers are sent all again: " + e.what());
  }
}

size_t told_surfaces::kept() const {
  const std::lock_guard lock{mutex_};
  return static_cast<size_t>(std::count_if(surfaces_.begin(), surfaces_.end(), [](const auto& one) { return one.second.kept; }));
}

std::optional<told_surface> told_surfaces::take_kept(const region_key& region) {
  const std::lock_guard lock{mutex_};
  const auto i = surfaces_.find(region);
  // It stays in the file until something else is told: this process may end before that.
  return i != surfaces_.end() && std::exchange(i->second.kept, false) ? std::optional{i->second.its} : std::nullopt;
}

void told_surfaces::forget_kept() {
  const std::lock_guard lock{mutex_};
  dirty_ = std::erase_if(surfaces_, [](const auto& one) { return one.second.kept; }) > 0 || dirty_;
  changed_.notify_one();
}

void told_surfaces::tell(const region_key& region, const told_surface& surface) {
  auto is_reserved = true;
  {
    const std::lock_guard lock{mutex_};
    auto& its = surfaces_[region];
    its.kept = false;
    if (its.its == surface)
      return;
    its.its = surface;
    dirty_ = true;
    is_reserved = surface.version >> 32 <= reserved_;
    if (!is_reserved)
      reserved_ = (surface.version >> 32) + reserve;
  }
  if (!is_reserved) // before anybody hears of it
    write_if_changed();
  changed_.notify_one();
}

void told_surfaces::erase(const region_key& region) {
  {
    const std::lock_guard lock{mutex_};
    if (surfaces_.erase(region) == 0)
      return;
    dirty_ = true;
  }
  changed_.notify_one();
}

void told_surfaces::write() {
  const std::lock_guard alone{writing_};
  told_surfaces_value value;
  {
    const std::lock_guard lock{mutex_};
    value.epoch = epoch_;
    value.next = reserved_ + 1;
    value.regions.reserve(3 * surfaces_.size());
    value.surfaces.reserve(3 * surfaces_.size());
    for (const auto& [region, one] : surfaces_) {
      value.regions.insert(value.regions.end(), {region.x, region.y, region.z});
      value.surfaces.insert(value.surfaces.end(), {one.its.version, one.its.digest.a, one.its.digest.b});
    }
    dirty_ = false;
  }
  replace_file(file_, [&value](uint64_t inode) {
    value.inode = inode;
    return bytes_of(value);
  });
}

void told_surfaces::write_if_changed() noexcept {
  {
    const std::lock_guard lock{mutex_};
    if (!dirty_)
      return;
  }
  try {
    write();
    const std::lock_guard lock{mutex_};
    failed_ = false;
  } catch (const std::exception& e) {
    auto tells = false;
    {
      const std::lock_guard lock{mutex_};
      dirty_ = true;
      tells = !std::exchange(failed_, true) && log_;
    }
    try {
      if (tells)
        log_(severity::warning, std::string{"which surfaces viewers have is not kept now: "} + e.what());
    } catch (const std::exception&) { // no memory for it
    }
  }
}

void told_surfaces::work() {
  std::unique_lock lock{mutex_};
  while (!stopped_) {
    changed_.wait(lock, [this] { return stopped_ || dirty_; });
    changed_.wait_for(lock, lag, [this] { return stopped_; }); // for what comes meanwhile
    lock.unlock();
    write_if_changed();
    lock.lock();
  }
  lock.unlock();
  write_if_changed(); // what was told while it wrote
}

void told_surfaces::stop() {
  std::jthread ended; // is joined without the lock
  {
    const std::lock_guard lock{mutex_};
    if (std::exchange(stopped_, true))
      return;
    ended.swap(thread_);
  }
  changed_.notify_all();
  if (ended.joinable())
    ended.join(); // writes what is left
  else
    write_if_changed();
}

} // namespace tessera
