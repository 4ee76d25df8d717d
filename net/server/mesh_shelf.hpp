#pragma once

#include "messages/map.hpp"
#include "net/formats/mesh_files.hpp"
#include "net/server/held_bytes.hpp"
#include "net/server/readers.hpp"

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tessera {

struct server_core;

/// Files of the whole map: each state of it is written once for all who ask, and is in memory once while it is sent, however many
/// read it and however slowly. One file is made at a time; those who ask meanwhile wait for the next one, which shows what was
/// accepted before they asked. Threads: any.
class mesh_shelf {
public:
  /// While files that are still being sent hold more than `most_bytes`, no other is made.
  explicit mesh_shelf(uint64_t most_bytes) : held_{most_bytes} {}

  /// Answers with the file of the map as it is now, or why not; `reply` is called once, through `back`.
  void ask_for(const std::shared_ptr<server_core>& core, mesh_format format, const return_address<strand>& back,
               reply_function reply);

private:
  static constexpr size_t formats = 3;

  struct file {
    held_bytes::share share;
    const std::string tag; ///< of its content, with its quotes
    const std::string bytes;
  };
  struct turn {
    mesh_format format;
    readers all;
  };
  class job;

  turn take_turn();
  void next(const std::shared_ptr<server_core>& core) noexcept;
  static void gather(const std::shared_ptr<job>& work);
  std::shared_ptr<const file> find_or_write(const server_core& core, mesh_format format, const std::vector<region_mesh>& meshes,
                                            const std::vector<camera>& cameras);

  std::mutex mutex_;
  bool busy_ = false;
  size_t last_ = 0; ///< the format that was made last
  std::array<readers, formats> waiting_;
  std::array<std::weak_ptr<const file>, formats> newest_;
  held_bytes held_;
};

} // namespace tessera
