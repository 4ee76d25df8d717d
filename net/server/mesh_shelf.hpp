#pragma once

#include "messages/map.hpp"
#include "net/formats/mesh_files.hpp"
#include "net/server/ask.hpp"
#include "net/server/http_reply.hpp"

#include <array>
#include <atomic>
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
  /// Answers with the file of the map as it is now, or why not; `reply` is called once, through `back`.
  void ask_for(const std::shared_ptr<server_core>& core, mesh_format format, const return_address<strand>& back,
               reply_function reply);

private:
  /// While files that are still being sent hold more than this, no other is made.
  static constexpr uint64_t most_bytes = uint64_t{256} << 20;
  static constexpr size_t formats = 3;

  struct reader {
    return_address<strand> back;
    reply_function reply;
  };
  struct file {
    file(std::shared_ptr<std::atomic<uint64_t>> held_, std::string tag_, std::string bytes_)
      : held{std::move(held_)}, tag{std::move(tag_)}, bytes{std::move(bytes_)} {
      held->fetch_add(bytes.size());
    }
    file(const file&) = delete;
    file& operator=(const file&) = delete;
    ~file() { held->fetch_sub(bytes.size()); }
    const std::shared_ptr<std::atomic<uint64_t>> held; ///< by all files
    const std::string tag;                             ///< of its content, with its quotes
    const std::string bytes;
  };
  class job;

  void next(const std::shared_ptr<server_core>& core);
  static void gather(const std::shared_ptr<job>& work);
  std::shared_ptr<const file> find_or_write(const server_core& core, mesh_format format, const std::vector<region_mesh>& meshes,
                                            const std::vector<camera>& cameras);

  std::mutex mutex_;
  bool busy_ = false;
  size_t last_ = 0; ///< the format that was made last
  std::array<std::vector<reader>, formats> waiting_;
  std::array<std::weak_ptr<const file>, formats> newest_;
  std::shared_ptr<std::atomic<uint64_t>> held_ = std::make_shared<std::atomic<uint64_t>>(0);
};

} // namespace tessera
