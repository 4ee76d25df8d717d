#pragma once

#include "gpu/cpu/field_index.hpp"
#include "gpu/cpu/region_pool.hpp"
#include "gpu/fields.hpp"
#include "gpu/rays.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace tessera::cpu {

/// Throws torn_keyframe if a body that was read has changed meanwhile.
void check_whole(const keyframe_body& body);
/// Makes a keyframe's rays, and sees that they are of one moment. Throws as async_fields::rays() answers.
std::vector<ray> make_whole_rays(const map_settings& map, const keyframe_body& body, const pose& at, ray_counts& counts);

/// What a request that waits is answered with when the fields go.
std::exception_ptr fields_are_gone();

/// A keyframe on its way into all regions that it touches. It is a task, which makes the rays and cuts them; then a job for each
/// region; and if one of these fails, a job for each that did not, which takes it back. Ends itself with its answer.
class taking final : public region_pool::work {
public:
  taking(const map_settings& map, field_index& fields, region_pool& pool, take_request&& what, async_fields::take_done&& answer);
  taking(const taking&) = delete;
  taking& operator=(const taking&) = delete;
  void run() noexcept override;
  void let_go() noexcept override;

private:
  /// The rays of a keyframe, by region.
  struct cut;
  struct cpu_peer_rays;
  /// A region's part.
  struct part final : region_pool::work {
    part(taking& of, const region_rays& rays) : work(rays.region), whole(&of), first(rays.first), count(rays.count) {}
    void run() noexcept override { whole->run(*this); }
    void let_go() noexcept override { whole->let_go(*this); }

    taking* whole;
    uint32_t first, count;
    bool done = false; ///< it is in the field
    uint64_t vertices = 0, triangles = 0;
    uint64_t fresh_bytes = 0; ///< what memory-cap counts of it that was not there before, or that it lacked
    double integrate_ms = 0, extract_ms = 0;
  };

  ~taking() = default;
  void prepare();
  [[nodiscard]] std::shared_ptr<const cut> make_cut();
  void choose_parts();
  void prepare_for_peers();
  [[nodiscard]] ray_job job_of(const part& one) const;
  void run(part& one) noexcept;
  void let_go(part& one) noexcept;
  void add(part& one);
  void undo(part& one);
  void fail(std::exception_ptr why) noexcept;
  void one_is_over() noexcept;
  void count(part& one);
  void tell_if_too_large() noexcept;
  void answer_and_end() noexcept;

  const map_settings& map_;
  field_index& fields_;
  region_pool& pool_;
  take_request what_;
  async_fields::take_done answer_;
  take_report report_;
  std::shared_ptr<const cut> cut_;
  std::vector<part> parts_;
  rays_for_peers for_peers_;
  std::atomic<size_t> left_ = 0; ///< parts under way
  std::mutex mutex_;             ///< guards failure_
  std::exception_ptr failure_;
  std::atomic<bool> failed_ = false;
  std::atomic<bool> counting_ = false; ///< the cap was reached, and it may be that the keyframe alone exceeds it
  bool undoing_ = false;               ///< changes while no part is under way
};

} // namespace tessera::cpu
