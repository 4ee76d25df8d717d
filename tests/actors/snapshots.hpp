#pragma once
// Snapshots of regions in a folder of the test's, and a store whose answers come before its calls return.

#include "actors/store/region_snapshots.hpp"
#include "journal_folder.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <random>
#include <utility>

namespace tessera::toy {

/// A journal's store for the test scheduler: whoever asks has the answer at once. Threads: the test's.
class waiting_store final : public keyframe_store {
public:
  explicit waiting_store(std::shared_ptr<journal_store> its) : its_{std::move(its)} {}

  void put(stored_keyframe frame, done answer) override {
    wait<bool>([&](auto tell) { its_->put(std::move(frame), tell); }, answer);
  }
  void get(const keyframe_id& id, got answer) override {
    wait<std::optional<stored_keyframe>>([&](auto tell) { its_->get(id, tell); }, answer);
  }
  void erase(const keyframe_id& id, done answer) override {
    wait<bool>([&](auto tell) { its_->erase(id, tell); }, answer);
  }
  void set_place(const keyframe_id& id, const keyframe_place& to, done answer) override {
    wait<bool>([&](auto tell) { its_->set_place(id, to, tell); }, answer);
  }
  void remember(const retraction& what, done answer) override {
    wait<bool>([&](auto tell) { its_->remember(what, tell); }, answer);
  }
  void forget_retraction(const keyframe_id& id, done answer) override {
    wait<bool>([&](auto tell) { its_->forget_retraction(id, tell); }, answer);
  }
  void quarantine(quarantined_keyframe what, done answer) override {
    wait<bool>([&](auto tell) { its_->quarantine(std::move(what), tell); }, answer);
  }
  void release(const keyframe_id& id, done answer) override {
    wait<bool>([&](auto tell) { its_->release(id, tell); }, answer);
  }
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const override { return its_->retracted(id); }
  [[nodiscard]] std::vector<retraction> retractions() const override { return its_->retractions(); }
  [[nodiscard]] std::vector<keyframe_id> ids() const override { return its_->ids(); }
  [[nodiscard]] std::vector<kept_keyframe> take_kept() override { return its_->take_kept(); }
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const override { return its_->cameras(); }
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const override { return its_->quarantined(); }
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override { return its_->group_revisions(); }
  [[nodiscard]] store_usage usage() const override { return its_->usage(); }
  [[nodiscard]] std::vector<store_pulse> pulses() const override { return its_->pulses(); }
  void stop() override { its_->stop(); }

private:
  template <class Value, class Ask, class Answer>
  void wait(Ask ask, const Answer& answer) {
    std::promise<std::pair<Value, std::exception_ptr>> told;
    ask([&told](Value value, std::exception_ptr failure) { told.set_value({std::move(value), std::move(failure)}); });
    auto [value, failure] = told.get_future().get();
    answer(std::move(value), std::move(failure));
  }

  std::shared_ptr<journal_store> its_;
};

/// An image of some blocks of noise that repeats, and an empty one among them.
inline region_image some_image(uint32_t seed, uint32_t blocks = 4) {
  std::mt19937 random{seed};
  region_image out;
  for (uint32_t block = 0; block < blocks; ++block) {
    out.blocks.push_back(3 * block + 1);
    for (size_t i = 0; i < 512; ++i)
      out.voxels.push_back(block == 1 ? voxel_words{} : voxel_words{random() % 7, random() % 3, i % 5});
  }
  return out;
}

/// As a snapshot keeps it: without blocks in which nothing is.
inline region_image without_empty(region_image image) {
  image.blocks.erase(image.blocks.begin() + 1);
  image.voxels.erase(image.voxels.begin() + 512, image.voxels.begin() + 1024);
  return image;
}

inline bool same(const region_image& a, const region_image& b) {
  return a.blocks == b.blocks && a.voxels.size() == b.voxels.size()
         && std::equal(a.voxels.begin(), a.voxels.end(), b.voxels.begin(),
                       [](const voxel_words& x, const voxel_words& y) { return x.w0 == y.w0 && x.w1 == y.w1 && x.w2 == y.w2; });
}

} // namespace tessera::toy
