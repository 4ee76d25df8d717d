#include "gpu/map/weld.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/server/server_core.hpp"

#include <openssl/evp.h>

#include <new>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace tessera {

namespace {

// A region's mesh comes when all sent before is in it: that can take longer than a look at a number.
std::chrono::milliseconds patience_of(const server_core& core) {
  return 6 * core.config.timeouts.ask;
}

mesh_file_setup setup_of(const server_core& core, const std::vector<camera>& cameras) {
  up_estimate seen;
  for (const auto& one : cameras)
    if (!one.gone)
      seen.add(one.world_from_camera);
  mesh_file_setup out;
  out.quantum_m = patch_quantum_m(core.config.map.voxel_m);
  out.voxel_m = core.config.map.voxel_m;
  out.epoch = core.running.epoch;
  out.up = seen.up();
  return out;
}

/// A digest of all that a file is made of: the same again is the same file.
std::string tag_of(const mesh_file_setup& setup, const std::vector<region_mesh>& meshes) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  if (!digest || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1)
    throw std::bad_alloc();
  const auto add = [&](const auto& values) { EVP_DigestUpdate(digest.get(), values.data(), values.size() * sizeof values[0]); };
  add(setup.up);
  for (const auto& one : meshes) {
    const auto& m = *one.surface;
    add(std::array{uint64_t{m.positions.size()}, uint64_t{m.indices.size()}});
    add(m.positions);
    add(m.normals);
    add(m.colours);
    add(m.keys);
    add(m.indices);
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  EVP_DigestFinal_ex(digest.get(), bytes.data(), nullptr);
  std::string out = '"' + setup.epoch + '-';
  for (size_t i = 0; i < 12; ++i) {
    out += "0123456789abcdef"[bytes[i] >> 4];
    out += "0123456789abcdef"[bytes[i] & 15];
  }
  return out + '"';
}

/// Why no file is made now.
struct busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

} // namespace

/// A file in the making, and who waits for it. Then the next one's turn has come.
class mesh_shelf::job {
public:
  job(std::shared_ptr<server_core> core, mesh_format format, readers all)
    : core_{std::move(core)}, format_{format}, all_{std::move(all)} {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  ~job() {
    { const auto left = std::move(all_); } // are answered, if they were not
    core_->meshes.next(core_);
  }

  const std::shared_ptr<server_core>& core() const { return core_; }
  mesh_format format() const { return format_; }
  template <class Make>
  void answer(Make make) {
    all_.answer(std::move(make));
  }
  void refuse(std::string_view code, const std::string& why) { all_.refuse(code, why); }

  std::vector<region_mesh> meshes;

private:
  const std::shared_ptr<server_core> core_;
  const mesh_format format_;
  readers all_;
};

void mesh_shelf::ask_for(const std::shared_ptr<server_core>& core, mesh_format format, const return_address<strand>& back,
                         reply_function reply) {
  {
    const std::lock_guard lock{mutex_};
    waiting_[static_cast<size_t>(format)].add(back, std::move(reply));
    if (busy_)
      return;
  }
  next(core);
}

mesh_shelf::turn mesh_shelf::take_turn() {
  const std::lock_guard lock{mutex_};
  for (size_t i = 1; i <= formats; ++i) {
    const auto format = (last_ + i) % formats;
    if (waiting_[format].empty())
      continue;
    last_ = format;
    busy_ = true;
    return {static_cast<mesh_format>(format), std::move(waiting_[format])};
  }
  busy_ = false;
  return {};
}

void mesh_shelf::next(const std::shared_ptr<server_core>& core) noexcept {
  for (;;) {
    auto [format, all] = take_turn();
    if (all.empty())
      return;
    std::shared_ptr<job> work;
    try {
      work = std::make_shared<job>(core, format, std::move(all));
    } catch (const std::bad_alloc&) {
      continue; // they are answered as `all` goes, and the next ones' turn has come
    }
    try {
      gather(work);
    } catch (const std::bad_alloc&) { // they are answered as the job goes
    }
    return;
  }
}

void mesh_shelf::gather(const std::shared_ptr<job>& work) {
  const auto& core = work->core();
  if (core->stopping)
    return work->refuse("closing", "the service is shutting down");
  const return_address<strand> here{core->io, asio::make_strand(*core->io)};
  const auto write = [work](std::optional<std::vector<camera>> cameras, const std::string& why) {
    if (!cameras)
      return work->refuse("unavailable", "the broadcaster did not answer: " + why);
    asio::post(work->core()->files, [work, cameras = std::move(*cameras)] {
      try {
        const auto made = work->core()->meshes.find_or_write(*work->core(), work->format(), work->meshes, cameras);
        work->answer([&] {
          http_reply out;
          out.content_type = content_type(work->format());
          out.body = shared_bytes{made, std::as_bytes(std::span{made->bytes})};
          out.wanted = work->core()->meshes.held_.wanted();
          constexpr const char* names[]{"map.ply", "map.glb", "map.drc"};
          return std::move(out)
            .with("ETag", made->tag)
            .with("Cache-Control", "no-cache")
            .with("Content-Disposition",
                  std::string("attachment; filename=\"") + names[static_cast<size_t>(work->format())] + '"');
        });
      } catch (const busy& e) {
        work->refuse("busy", e.what());
      } catch (const std::bad_alloc&) {
        work->meshes = {};
        work->refuse("no_memory", "there is no memory for this now");
      } catch (const std::exception& e) {
        work->answer([&] { return error_reply(http::status::internal_server_error, "failed", e.what()); });
      }
    });
  };
  ask<std::vector<region_mesh>>(
    core->system, here, patience_of(*core), core->running.partitioner.get(),
    [work, here, write](std::optional<std::vector<region_mesh>> meshes, const std::string& why) {
      if (!meshes)
        return work->refuse("unavailable", "the partitioner did not answer: " + why);
      work->meshes = std::move(*meshes);
      if (work->format() != mesh_format::glb)
        return write(std::vector<camera>{}, {}); // no other has an up
      const auto& whole = work->core();
      ask<std::vector<camera>>(whole->system, here, whole->config.timeouts.ask, whole->running.broadcaster.get(), write,
                               camera_atom::value);
    },
    mesh_atom::value);
}

std::shared_ptr<const mesh_shelf::file> mesh_shelf::find_or_write(const server_core& core, mesh_format format,
                                                                  const std::vector<region_mesh>& meshes,
                                                                  const std::vector<camera>& cameras) {
  const auto setup = setup_of(core, cameras);
  const auto tag = tag_of(setup, meshes);
  auto& newest = newest_[static_cast<size_t>(format)]; // by the files' thread alone
  if (auto found = newest.lock(); found && found->tag == tag)
    return found;
  if (!held_.has_room())
    throw busy("files of other states of the map are still being sent, and hold " + std::to_string(held_.now())
               + " bytes; at most " + std::to_string(held_.most()) + " may be when another is made");
  std::ostringstream out;
  write_mesh(out, weld(meshes), format, setup);
  auto bytes = std::move(out).str();
  const auto made = std::make_shared<const file>(file{held_.count(bytes.size()), tag, std::move(bytes)});
  newest = made;
  return made;
}

} // namespace tessera
